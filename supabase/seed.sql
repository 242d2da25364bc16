-- Seed of a development database (`supabase db reset`): deliberately without a single row.
-- Figures come from events only. To see some, send the sample through the import (`make up`, or
-- `penstock import` against this database), which leaves the counts that a seed would not.
select 1;
