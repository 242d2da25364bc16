"""One Inngest function for each feature of the protocol. Each notes what it did under its event's `case`."""

import datetime
import threading
import time
from typing import Any

import inngest
from inngest.experimental import ai

from tests.integration.local.inngest_conformance.stage import Journal

Made = list[inngest.Function[Any]]
On = inngest.TriggerEvent


def case_of(ctx: inngest.ContextSync) -> str:
    return str(ctx.event.data["case"])


def make(client: inngest.Inngest, journal: Journal) -> Made:
    groups = [plain, stepwise, failing, hopeless, sleeping, parallel, waiting, limited, batched, scheduled]
    return [function for group in groups for function in group(client, journal)]


def plain(client: inngest.Inngest, journal: Journal) -> Made:
    @client.create_function(fn_id="plain", trigger=On(event="shop/plain"))
    def do_plain(ctx: inngest.ContextSync) -> object:
        journal.note("plain", case_of(ctx), event=ctx.event, attempt=ctx.attempt, run_id=ctx.run_id)
        return {"seen": ctx.event.data["n"]}

    @client.create_function(fn_id="chosen", trigger=On(event="shop/chosen", expression="event.data.kind == 'gold'"))
    def do_chosen(ctx: inngest.ContextSync) -> None:
        journal.note("chosen", case_of(ctx), kind=ctx.event.data["kind"])

    @client.create_function(fn_id="any", trigger=On(event="shop/wild.*"))
    def do_any(ctx: inngest.ContextSync) -> None:
        journal.note("any", case_of(ctx), name=ctx.event.name)

    @client.create_function(fn_id="once", trigger=On(event="shop/once"), idempotency="event.data.order")
    def do_once(ctx: inngest.ContextSync) -> None:
        journal.note("once", case_of(ctx), order=ctx.event.data["order"])

    return [do_plain, do_chosen, do_any, do_once]


def stepwise(client: inngest.Inngest, journal: Journal) -> Made:
    @client.create_function(fn_id="steps", trigger=On(event="shop/steps"))
    def do_steps(ctx: inngest.ContextSync) -> object:
        journal.note("body", case_of(ctx))

        def effect(value: object) -> object:
            journal.note("effect", case_of(ctx), value=value)
            return value

        first = ctx.step.run("count", effect, 1)
        second = ctx.step.run("count", effect, None)
        third = ctx.step.run("nested", effect, {"data": "€ \u0000 \U0001f600", "error": None})
        return [first, second, third]

    @client.create_function(fn_id="sends", trigger=On(event="shop/sends"))
    def do_sends(ctx: inngest.ContextSync) -> object:
        return ctx.step.send_event("tell", inngest.Event(name="shop/plain", data=dict(ctx.event.data)))

    @client.create_function(fn_id="invokes", trigger=On(event="shop/invokes"))
    def do_invokes(ctx: inngest.ContextSync) -> object:
        good = ctx.step.invoke_by_id("good", function_id="plain", data=dict(ctx.event.data))
        try:
            ctx.step.invoke_by_id("bad", function_id="hopeless", data=dict(ctx.event.data))
        except inngest.StepError as error:
            return [good, error.message]
        return [good, "no error"]

    @client.create_function(fn_id="infers", trigger=On(event="shop/infers"))
    def do_infers(ctx: inngest.ContextSync) -> object:
        adapter = ai.openai.Adapter(auth_key="none", model="none")
        return ctx.step.ai.infer("ask", adapter=adapter, body={"messages": []})

    return [do_steps, do_sends, do_invokes, do_infers]


def failing(client: inngest.Inngest, journal: Journal) -> Made:
    @client.create_function(fn_id="recovers", trigger=On(event="shop/recovers"), retries=3)
    def do_recovers(ctx: inngest.ContextSync) -> None:
        journal.note("attempt", case_of(ctx), attempt=ctx.attempt)
        if ctx.attempt < 2:
            raise RuntimeError(f"not yet, {ctx.attempt}")

    @client.create_function(fn_id="step-recovers", trigger=On(event="shop/step-recovers"), retries=2)
    def do_step_recovers(ctx: inngest.ContextSync) -> object:
        def unsteady() -> str:
            journal.note("unsteady", case_of(ctx), attempt=ctx.attempt)
            if ctx.attempt == 0:
                raise RuntimeError("once")
            return "steady"

        ctx.step.run("before", lambda: journal.note("before", case_of(ctx)))
        return ctx.step.run("unsteady", unsteady)

    @client.create_function(fn_id="step-gives-up", trigger=On(event="shop/step-gives-up"), retries=1)
    def do_step_gives_up(ctx: inngest.ContextSync) -> object:
        def broken() -> None:
            journal.note("broken", case_of(ctx))
            raise ValueError("for good")

        try:
            ctx.step.run("broken", broken)
        except inngest.StepError as error:
            reason = f"{error.name}: {error.message}"
        return ctx.step.run("instead", lambda: reason)

    return [do_recovers, do_step_recovers, do_step_gives_up]


def hopeless(client: inngest.Inngest, journal: Journal) -> Made:
    def on_failure(ctx: inngest.ContextSync) -> None:
        event: Any = ctx.event.data["event"]
        journal.note("on_failure", event["data"]["case"], data=ctx.event.data)

    @client.create_function(fn_id="hopeless", trigger=On(event="shop/hopeless"), retries=1, on_failure=on_failure)
    def do_hopeless(ctx: inngest.ContextSync) -> None:
        journal.note("hopeless", case_of(ctx), attempt=ctx.attempt)
        raise RuntimeError("no hope")

    @client.create_function(fn_id="refuses", trigger=On(event="shop/refuses"))
    def do_refuses(ctx: inngest.ContextSync) -> None:
        journal.note("refuses", case_of(ctx))
        raise inngest.NonRetriableError("never again")

    @client.create_function(fn_id="records", trigger=On(event="inngest/function.failed"), retries=2)
    def do_records(ctx: inngest.ContextSync) -> None:
        event: Any = ctx.event.data["event"]
        journal.note("recorded", event["data"].get("case"), attempt=ctx.attempt, event=ctx.event)
        if ctx.attempt == 0:
            raise RuntimeError("recording failed once")

    return [do_hopeless, do_refuses, do_records]


def sleeping(client: inngest.Inngest, journal: Journal) -> Made:
    @client.create_function(fn_id="sleeps", trigger=On(event="shop/sleeps"))
    def do_sleeps(ctx: inngest.ContextSync) -> None:
        ctx.step.run("before", lambda: journal.note("before", case_of(ctx)))
        ctx.step.sleep("nap", 400)
        ctx.step.run("between", lambda: journal.note("between", case_of(ctx)))
        ctx.step.sleep_until("past", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        ctx.step.run("after", lambda: journal.note("after", case_of(ctx)))

    @client.create_function(fn_id="later", trigger=On(event="shop/later"))
    def do_later(ctx: inngest.ContextSync) -> None:
        journal.note("later", case_of(ctx))
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("in a while", datetime.timedelta(milliseconds=1_300))

    return [do_sleeps, do_later]


def parallel(client: inngest.Inngest, journal: Journal) -> Made:
    meeting = threading.Barrier(3, timeout=60)

    @client.create_function(fn_id="together", trigger=On(event="shop/together"))
    def do_together(ctx: inngest.ContextSync) -> object:
        def meet(name: str) -> str:
            meeting.wait()
            journal.note("met", case_of(ctx), name=name)
            return name

        steps = (
            lambda: ctx.step.run("a", meet, "a"),
            lambda: ctx.step.run("b", meet, "b"),
            lambda: ctx.step.run("c", meet, "c"),
            lambda: ctx.step.sleep("d", 100),
        )
        met = ctx.group.parallel(steps)
        return [*met, ctx.step.run("after", lambda: "after")]

    @client.create_function(fn_id="races", trigger=On(event="shop/races"))
    async def do_races(ctx: inngest.Context) -> object:
        case = ctx.event.data["case"]

        async def quick(name: str) -> str:
            journal.note(name, case)
            return name

        async def slow() -> str:
            time.sleep(0.5)
            journal.note("slow", case)
            return "slow"

        async def branch() -> str:
            await ctx.step.run("quick", lambda: quick("quick"))
            return await ctx.step.run("next", lambda: quick("next"))

        branches = (branch, lambda: ctx.step.run("slow", slow))
        return list(await ctx.group.parallel(branches, parallel_mode=RACE))

    return [do_together, do_races]


RACE = inngest.ParallelMode.RACE


def waiting(client: inngest.Inngest, journal: Journal) -> Made:
    @client.create_function(fn_id="waits", trigger=On(event="shop/waits"))
    def do_waits(ctx: inngest.ContextSync) -> object:
        same = "event.data.case == async.data.case"
        journal.note("waiting", case_of(ctx))
        paid = ctx.step.wait_for_event("paid", event="shop/paid", if_exp=same, timeout=60_000)
        gone = ctx.step.wait_for_event("gone", event="shop/never", timeout=1_000)
        return [paid and paid.data["n"], gone]

    return [do_waits]


def limited(client: inngest.Inngest, journal: Journal) -> Made:
    def busy(ctx: inngest.ContextSync, what: str) -> None:
        journal.note(f"{what} begins", case_of(ctx), key=ctx.event.data["key"])
        time.sleep(0.1)
        journal.note(f"{what} ends", case_of(ctx), key=ctx.event.data["key"], n=ctx.event.data["n"])

    @client.create_function(
        fn_id="alone", trigger=On(event="shop/alone"), concurrency=[inngest.Concurrency(limit=1)]
    )  # fmt: skip
    def do_alone(ctx: inngest.ContextSync) -> None:
        busy(ctx, "alone")

    per_key = [inngest.Concurrency(limit=1, key="event.data.key"), inngest.Concurrency(limit=3)]

    @client.create_function(fn_id="keyed", trigger=On(event="shop/keyed"), concurrency=per_key)
    def do_keyed(ctx: inngest.ContextSync) -> None:
        busy(ctx, "keyed")

    return [do_alone, do_keyed]


def batched(client: inngest.Inngest, journal: Journal) -> Made:
    batch = inngest.Batch(max_size=20, timeout=datetime.timedelta(seconds=1), key="event.data.case")

    @client.create_function(fn_id="batched", trigger=On(event="shop/batched"), batch_events=batch)
    def do_batched(ctx: inngest.ContextSync) -> None:
        size = len(ctx.step.run("look", lambda: [event.data["n"] for event in ctx.events]))
        journal.note("batch", case_of(ctx), numbers=[event.data["n"] for event in ctx.events], size=size)

    return [do_batched]


def scheduled(client: inngest.Inngest, journal: Journal) -> Made:
    nightly = inngest.TriggerCron(cron="TZ=Europe/Paris 0 2 * * *")

    @client.create_function(fn_id="nightly", trigger=nightly)
    def do_nightly(ctx: inngest.ContextSync) -> None:
        journal.note("nightly", "cron", event=ctx.event)

    @client.create_function(fn_id="nightly-too", trigger=nightly)
    def do_nightly_too(ctx: inngest.ContextSync) -> None:
        journal.note("nightly too", "cron", event=ctx.event)

    return [do_nightly, do_nightly_too]
