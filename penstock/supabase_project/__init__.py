"""The Supabase project, by Supabase's own client: Storage's bookkeeping, its users' tokens, its HTTP interface.

The client is imported where it is used and nowhere else: it takes 14 MB and a second of a process, and most never call
Supabase but by Postgres.
"""
