-- Daily figures in another currency, beside those in their own: made when they are read, of rates that somebody imported.
--   shop.exchange_rates   what one unit of a currency was in another on a day; shop.rate_targets, the currencies they lead to
--   public.daily_revenue_converted   each day and currency, with the rate and the day that it is from
--   public.daily_revenue_total_converted   each day over all currencies, with what had no rate counted
-- A rate holds on its day and, until there is a newer one, for the seven days after it: markets rest on week-ends and at
-- Easter. Nothing is inverted and nothing goes by way of a third currency: a rate that nobody quoted is not one.

create table shop.exchange_rates (
  day date not null,
  from_currency text not null,
  to_currency text not null,
  rate numeric(24, 12) not null,
  constraint exchange_rates_pkey primary key (day, from_currency, to_currency),
  constraint exchange_rates_rate_check check (rate > 0),
  constraint exchange_rates_codes_check check (from_currency ~ '^[A-Z]{3}$' and to_currency ~ '^[A-Z]{3}$'),
  constraint exchange_rates_two_currencies_check check (from_currency <> to_currency)
);
create index exchange_rates_pair_day_idx on shop.exchange_rates (to_currency, from_currency, day);
comment on table shop.exchange_rates is 'What one unit of a currency was in another. Written by imports (target exchange_rates).';
comment on column shop.exchange_rates.day is 'The day on which the rate held.';
comment on column shop.exchange_rates.from_currency is 'ISO 4217 code of what is converted.';
comment on column shop.exchange_rates.to_currency is 'ISO 4217 code of what it becomes.';
comment on column shop.exchange_rates.rate is 'One unit of from_currency is so many of to_currency.';
alter table shop.exchange_rates enable row level security;
create policy exchange_rates_read on shop.exchange_rates for select to service_role, analyst using (true);
revoke all on shop.exchange_rates from public, anon, authenticated, service_role;
grant select on shop.exchange_rates to service_role, analyst;

-- A view of its own: inside the next one it would keep a page of that from ending where the page ends.
create view shop.rate_targets with (security_invoker = true) as
with recursive found as ( -- each code by one look into the index, however many days of rates there are
  (select r.to_currency from shop.exchange_rates as r order by r.to_currency limit 1)
  union all
  select (
    select r.to_currency from shop.exchange_rates as r where r.to_currency > f.to_currency order by r.to_currency limit 1
  ) from found as f where f.to_currency is not null
)
select f.to_currency from found as f where f.to_currency is not null;
comment on view shop.rate_targets is 'The currencies that any rate leads to.';
comment on column shop.rate_targets.to_currency is 'ISO 4217 code.';
revoke all on shop.rate_targets from public, anon, authenticated, service_role;
grant select on shop.rate_targets to service_role, analyst;

create view public.daily_revenue_converted with (security_invoker = true) as
select
  d.day, d.currency, t.to_currency as converted_to, r.rate, r.day as rate_day, d.order_count,
  d.total_revenue as revenue, d.net_revenue,
  round(d.total_revenue * r.rate, 6) as converted_revenue, round(d.net_revenue * r.rate, 6) as converted_net_revenue
from public.daily_analytics as d
cross join shop.rate_targets as t
left join lateral (
  select
    case when d.currency = t.to_currency then 1 else e.rate end as rate,
    case when d.currency = t.to_currency then d.day else e.day end as day
  from (select) as one
  left join lateral (
    select h.rate, h.day from shop.exchange_rates as h
    where h.to_currency = t.to_currency and h.from_currency = d.currency and h.day between d.day - 7 and d.day
    order by h.day desc
    limit 1
  ) as e on true
) as r on true;
comment on view public.daily_revenue_converted is
  'The revenue of each day and currency in each currency that rates lead to, also its own. As fresh as the daily figures.';
comment on column public.daily_revenue_converted.day is 'The day, in penstock.business_timezone().';
comment on column public.daily_revenue_converted.currency is 'ISO 4217 code of revenue and net_revenue.';
comment on column public.daily_revenue_converted.converted_to is 'ISO 4217 code of the converted amounts.';
comment on column public.daily_revenue_converted.rate is 'One unit of currency in converted_to; 1 for its own, null if there is none of this day or the seven before.';
comment on column public.daily_revenue_converted.rate_day is 'The day that the rate is from: the latest up to this day.';
comment on column public.daily_revenue_converted.order_count is 'Completed orders of the day in this currency.';
comment on column public.daily_revenue_converted.revenue is 'total_revenue of public.daily_analytics.';
comment on column public.daily_revenue_converted.net_revenue is 'net_revenue of public.daily_analytics.';
comment on column public.daily_revenue_converted.converted_revenue is 'revenue × rate, to six places; null without a rate.';
comment on column public.daily_revenue_converted.converted_net_revenue is 'net_revenue × rate, to six places; null without a rate.';
revoke all on public.daily_revenue_converted from public, anon, authenticated, service_role;
grant select on public.daily_revenue_converted to service_role, analyst;

create view public.daily_revenue_total_converted with (security_invoker = true) as
select
  c.day, c.converted_to,
  coalesce(sum(c.converted_revenue), 0) as converted_revenue,
  coalesce(sum(c.converted_net_revenue), 0) as converted_net_revenue,
  sum(c.order_count)::bigint as order_count,
  coalesce(sum(c.order_count) filter (where c.rate is null), 0)::bigint as orders_without_rate,
  coalesce(array_agg(c.currency order by c.currency) filter (where c.rate is null and (c.revenue <> 0 or c.net_revenue <> 0)), '{}')
    as currencies_without_rate,
  min(c.rate_day) filter (where c.revenue <> 0 or c.net_revenue <> 0) as oldest_rate_day
from public.daily_revenue_converted as c
group by c.day, c.converted_to;
comment on view public.daily_revenue_total_converted is
  'The revenue of each day over all currencies, in each currency that rates lead to. What had no rate is in no sum, and counted. As fresh as the daily figures.';
comment on column public.daily_revenue_total_converted.day is 'The day, in penstock.business_timezone().';
comment on column public.daily_revenue_total_converted.converted_to is 'ISO 4217 code of the amounts.';
comment on column public.daily_revenue_total_converted.converted_revenue is 'The sum of converted_revenue of public.daily_revenue_converted: of the currencies that had a rate.';
comment on column public.daily_revenue_total_converted.converted_net_revenue is 'The sum of converted_net_revenue, in the same way.';
comment on column public.daily_revenue_total_converted.order_count is 'Completed orders of the day, in all currencies.';
comment on column public.daily_revenue_total_converted.orders_without_rate is 'Those of them that no amount here has, for want of a rate.';
comment on column public.daily_revenue_total_converted.currencies_without_rate is 'Currencies with revenue or refunds on that day, none of which is in the amounts, for want of a rate.';
comment on column public.daily_revenue_total_converted.oldest_rate_day is 'The day of the oldest rate by which anything was converted; the day itself where nothing needed one. Null if nothing was.';
revoke all on public.daily_revenue_total_converted from public, anon, authenticated, service_role;
grant select on public.daily_revenue_total_converted to service_role, analyst;
