-- What is for models refuses datasets, and what is for datasets models, with what to use instead.
\set SHOW_CONTEXT never
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
select sparse_commit_rows('rows', 'select 1 as id', key => '{id}');
select sparse_commit_rows('rows', 'select 2 as id', 'rows', key => '{id}');
select sparse_import_file('model', current_setting('sparse_test.data') || '/mini-base.safetensors');

create function refusal(statement text, out state text, out message text, out hint text)
language plpgsql as $$
begin
    execute statement;
    state := 'done';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, hint = pg_exception_hint;
end $$;

\x on
select s.statement, r.*
from unnest(array[
    'select sparse_files(''rows'')',
    'select sparse_tensors(1)',
    'select sparse_tensor(''rows'', ''t'')',
    'select sparse_slice(''rows'', ''t'', 0, 1)',
    'select sparse_read(''rows'', ''f'', 0, 1)',
    'select sparse_reconstruct(''rows'')',
    'select sparse_reconstruct_file(''rows'', ''f'')',
    'select sparse_export(''rows'', ''/nowhere/to/go'')',
    'select sparse_verify(''rows'')',
    'select sparse_compare(''model'', ''rows'')',
    'select sparse_delta(''rows'')',
    'select sparse_delta_factors(''rows'')',
    'select sparse_layout(''rows'')',
    'select sparse_write(''rows'', ''t'', 0, '''')',
    'select sparse_write_delta(1, ''t'', 0, sdelta_encode(''''))',
    'select sparse_commit(''rows'')',
    'select sparse_abort(1)',
    'select sparse_approximate(''rows'', ''int8'')',
    'select sparse_sketch(''rows'')',
    'select sparse_find_parent(''rows'')',
    'select sparse_estimate(''rows'', null)',
    'select sparse_measure_zstd(''rows'')',
    'call sparse_materialize(''rows'')',
    'call sparse_rebase(''rows'', ''rows@1'')',
    'call sparse_rebase(''model'', ''rows'')',
    'call sparse_optimize(''rows'')',
    'call sparse_repack(''rows'')',
    'select sparse_repack_preview(''rows'')',
    'select sparse_weights(1)',
    'select sparse_batch(''[{"version": "rows"}]'')',
    -- of rows
    'select sparse_rows(''model'')',
    'select sparse_rows_as(null::pg_class, ''model'')',
    'select sparse_row(''model'', ''1'')',
    'select sparse_checkout(''model'', ''made'')',
    'select sparse_splits(''model'')',
    'select sparse_columns(''model'')',
    'select sparse_verify_rows(''model'')',
    'select sparse_row_diff(''rows'', ''model'')',
    'select sparse_row_diff(''model'', ''rows'')',
    'select sparse_merge_rows(''merged'', ''rows'', ''model'')',
    'select sparse_merge_rows(''merged'', ''rows'', ''rows@1'', base => ''model'')',
    'select sparse_merge_conflicts(''model'', ''rows'')'
]) with ordinality s (statement, n), refusal(s.statement) r
order by s.n;
\x off

-- nothing came of any of it; all versions are looked after as before
select name, revision, kind, state from sparse.version order by id;
call sparse_repack();

-- a dataset may be a parent of a model, from which nothing is predicted, and a model one of a dataset
select sparse_import_file('trained', current_setting('sparse_test.data') || '/mini-finetune.safetensors', '{rows}', '{data}');
select (sparse_verify('trained')).*;
select sparse_estimate('model', 'rows') = sparse_estimate('model', null);
select sparse_commit_rows('generated', 'select 3 as id', 'model');
select sparse_rows('generated');
select child, parent, role from sparse.parent order by child, ordinal;
