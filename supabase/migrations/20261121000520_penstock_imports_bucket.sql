-- Where files wait for their import on Supabase: the private bucket `imports` of Storage. Plain Postgres has no Storage
-- and gets nothing; the app keeps files in a folder there.
-- Storage denies what no policy allows, and there is none here: anon and authenticated can neither list nor read nor
-- write. The app comes with the secret key, and gives out signed addresses for one file each.
-- No file_size_limit of the bucket's own: the project's holds (50 MB on the free plan).

do $$
begin
  if pg_catalog.to_regclass('storage.buckets') is null then
    return;
  end if;
  if exists (select from storage.buckets as b where b.id = 'imports' and b.public) then
    raise exception 'Storage has a public bucket named imports: its files would be open to everybody'
      using hint = 'Make it private, or give it another name; then push again.';
  end if;
  insert into storage.buckets (id, name, public) values ('imports', 'imports', false) on conflict (id) do nothing;
end $$;
