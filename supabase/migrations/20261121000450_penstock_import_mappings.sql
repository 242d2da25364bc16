-- How files were read that had to be explained, remembered by what they look like.
--   raw.import_mappings   one row for each target and header: the options of the last import that completed with them
-- A header is known by its folded names in any order, so that `Order ID;Status` and `status,order_id` are one. The
-- options are checked by the program whenever they are read; nothing here interprets them.

create table raw.import_mappings (
  id uuid not null default gen_random_uuid(),
  target text not null,
  header_key text not null,
  header text[] not null,
  options jsonb not null,
  source_name text not null,
  actor text not null default 'import',
  uses bigint not null default 0,
  used_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  constraint import_mappings_pkey primary key (id),
  constraint import_mappings_target_header_key_key unique (target, header_key)
);
comment on table raw.import_mappings is 'How files with a header are read into a target: the options that an import with them has completed with.';
comment on column raw.import_mappings.id is 'The mapping''s id, as in commands and addresses.';
comment on column raw.import_mappings.target is 'The target of the import.';
comment on column raw.import_mappings.header_key is 'Hash of the header''s folded names, in any order.';
comment on column raw.import_mappings.header is 'The header as the file had it that the options were given for.';
comment on column raw.import_mappings.options is 'How such a file is read: the options of that import, or what somebody has made of them since.';
comment on column raw.import_mappings.source_name is 'Name of the file that the options were given for.';
comment on column raw.import_mappings.actor is 'Who gave the options last.';
comment on column raw.import_mappings.uses is 'How many imports have been read by it.';
comment on column raw.import_mappings.used_at is 'When the last of them began; null before.';
comment on column raw.import_mappings.created_at is 'When it was remembered first.';
comment on column raw.import_mappings.updated_at is 'When its options were set last.';
alter table raw.import_mappings enable row level security;
revoke all on raw.import_mappings from public, anon, authenticated, service_role;
grant select, insert, update, delete on raw.import_mappings to service_role;
