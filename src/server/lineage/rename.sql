/*
 * rename.sql: names move, with all revisions and tags.
 */

create function sparse_rename("old" text, "new" text)
returns integer
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_rename';
comment on function sparse_rename(text, text) is
'Gives all revisions of a name, and its tags, another name that nobody has; returns how many revisions there are. Needs update on each.';
