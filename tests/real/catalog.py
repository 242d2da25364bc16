"""Reads what the migrations made from the catalogs, in a form that is equal on every supported Postgres.

Left out is only what the versions themselves write differently: NOT NULL as constraints (18 on), the MAINTAIN
privilege (17 on), and needless column qualification in a view's text (before 16).
"""

import re

import psycopg

SCHEMAS = ["public", "raw", "staging", "ops", "penstock", "shop"]
ROLES = ["anon", "authenticated", "service_role", "analyst"]

OURS = """
  with ours as (
    select c.*, n.nspname, n.nspname || '.' || c.relname as name
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = any(%(schemas)s::text[])
      and not exists (
        select from pg_depend as d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
      )
  ),
  ours_functions as (
    select p.*, n.nspname, n.nspname || '.' || p.oid::regprocedure::text as name
    from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
    where n.nspname = any(%(schemas)s::text[])
      and not exists (
        select from pg_depend as d
        where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
      )
  )
"""

QUERIES = {
    "relations": """
      select name, relkind, relrowsecurity, relforcerowsecurity, reloptions::text,
             obj_description(oid, 'pg_class')
      from ours where relkind in ('r', 'p', 'v', 'm', 'S', 'i')""",
    "columns": """
      select o.name, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
             a.attgenerated, pg_get_expr(d.adbin, d.adrelid), col_description(o.oid, a.attnum)
      from ours as o
      join pg_attribute as a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped
      left join pg_attrdef as d on d.adrelid = o.oid and d.adnum = a.attnum
      where o.relkind in ('r', 'p', 'v', 'm')""",
    "constraints": """
      select o.name, k.conname, k.contype, pg_get_constraintdef(k.oid)
      from pg_constraint as k join ours as o on o.oid = k.conrelid
      where k.contype <> 'n'""",
    "indexes": """
      select o.name, pg_get_indexdef(i.indexrelid), i.indisvalid
      from pg_index as i join ours as o on o.oid = i.indrelid""",
    "triggers": """
      select o.name, t.tgname, t.tgenabled, pg_get_triggerdef(t.oid)
      from pg_trigger as t join ours as o on o.oid = t.tgrelid where not t.tgisinternal""",
    "policies": """
      select o.name, p.polname, p.polcmd, p.polpermissive,
             (select array_agg(r::regrole::text order by r::regrole::text) from unnest(p.polroles) as r)::text,
             pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
      from pg_policy as p join ours as o on o.oid = p.polrelid""",
    "functions": """
      select name, prosecdef, provolatile, proparallel, proisstrict, proconfig::text,
             pg_get_function_result(oid), obj_description(oid, 'pg_proc'), pg_get_functiondef(oid)
      from ours_functions where prokind in ('f', 'p')""",
    "views": "select name, pg_get_viewdef(oid) from ours where relkind in ('v', 'm')",
    "table grants": """
      select o.name, role, privilege, has_table_privilege(role, o.oid, privilege)
      from ours as o, unnest(%(roles)s::text[]) as role,
           unnest(array['select', 'insert', 'update', 'delete', 'truncate']) as privilege
      where o.relkind in ('r', 'p', 'v', 'm')""",
    "sequence grants": """
      select o.name, role, privilege, has_sequence_privilege(role, o.oid, privilege)
      from ours as o, unnest(%(roles)s::text[]) as role, unnest(array['usage', 'select', 'update']) as privilege
      where o.relkind = 'S'""",
    "function grants": """
      select name, role, has_function_privilege(role, oid, 'execute')
      from ours_functions, unnest(%(roles)s::text[]) as role""",
    "schema grants": """
      select n.nspname, role, privilege, has_schema_privilege(role, n.oid, privilege),
             obj_description(n.oid, 'pg_namespace')
      from pg_namespace as n, unnest(%(roles)s::text[]) as role, unnest(array['usage', 'create']) as privilege
      where n.nspname = any(%(schemas)s::text[]) and n.nspname <> 'public'""",
}

Catalog = dict[str, list[tuple[object, ...]]]


def catalog_of(connection: psycopg.Connection) -> Catalog:
    """Every object of the project's schemas with its definition, comment and grants, sorted."""
    parameters = {"schemas": SCHEMAS, "roles": ROLES}
    # An empty search path makes every deparsed name qualified, whatever the session's default is.
    connection.execute("set search_path = ''")
    return {
        subject: sorted((tuple(map(_normal, row)) for row in connection.execute(_query(query), parameters)), key=repr)
        for subject, query in QUERIES.items()
    }


def differences(left: Catalog, right: Catalog) -> list[str]:
    """What one has and the other has not, one line each."""
    found = []
    for subject in left:
        found += [f"- {subject}: {row}" for row in left[subject] if row not in right[subject]]
        found += [f"+ {subject}: {row}" for row in right[subject] if row not in left[subject]]
    return found


def _query(query: str) -> bytes:
    return (OURS + query).encode()


def _normal(value: object) -> object:
    if isinstance(value, str) and re.match(r"\s*(SELECT|WITH)\b", value):
        return " ".join(re.sub(r"\b[a-z_0-9]+\.(?=[a-z_\"])", "", value).split())
    return value
