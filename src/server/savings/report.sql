/*
 * report.sql: sparse_report: the savings of a store on one page, as text, Markdown or HTML.
 *
 * The figures are gathered from the views into one document (sparse_report_data), and
 * written down from that by one function for each format. The HTML page is whole in
 * itself: its charts are inline SVG, it runs no script and asks no network. Names come
 * from users, so every text in it is escaped.
 */

create function sparse_report_bytes(bytes numeric)
returns text
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select case when abs(bytes) >= 1e15 then round(bytes / 1e15, 2) || ' PB'
                when abs(bytes) >= 1e12 then round(bytes / 1e12, 2) || ' TB'
                when abs(bytes) >= 1e9 then round(bytes / 1e9, 2) || ' GB'
                when abs(bytes) >= 1e6 then round(bytes / 1e6, 2) || ' MB'
                when abs(bytes) >= 1e3 then round(bytes / 1e3, 2) || ' kB'
                else bytes || ' B' end
$function$;
comment on function sparse_report_bytes(numeric) is
'A number of bytes for people, by powers of 1000.';

create function sparse_report_escape(content text)
returns text
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select replace(replace(replace(replace(coalesce(content, ''), '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;')
$function$;
comment on function sparse_report_escape(text) is
'A text as it stands in HTML and SVG.';

create function sparse_report_escape_markdown(content text)
returns text
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    -- no name is a link, a picture that would be fetched, or another cell
    select regexp_replace(@extschema@.sparse_report_escape(content), '([][\\`*_~|!()#])', '\\\1', 'g')
$function$;
comment on function sparse_report_escape_markdown(text) is
'A text as it stands in a table of Markdown.';

create function sparse_report_data_of(whole_store boolean)
returns jsonb
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    prefix constant text := case when whole_store then 'all_' else '' end;
    data jsonb;
    found jsonb;
begin
    execute format($query$
        with month as materialized (select * from sparse.%1$ssavings_by_month)
        select jsonb_build_object(
            'at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'),
            'total', (select jsonb_build_object(
                'versions', coalesce(sum(versions), 0),
                'raw', coalesce(sum(raw_file_bytes), 0),
                'dedup', coalesce(sum(whole_file_dedup_bytes), 0),
                'zstd', case when count(*) = count(zstd_file_bytes) then sum(zstd_file_bytes) end,
                'stored', coalesce(sum(stored_bytes), 0),
                'for_dropped', coalesce(sum(stored_for_dropped_bytes), 0),
                'saved_per_month', sum(saved_against_raw_files_per_month)) from month),
            'months', (select coalesce(jsonb_agg(jsonb_build_object('label', to_char(month, 'YYYY-MM'), 'raw', raw, 'stored', stored) order by month), '[]')
                       from (select month, sum(raw_file_bytes) over w as raw, sum(stored_bytes) over w as stored
                             from month window w as (order by month) order by month desc limit 36) m),
            'families', (select coalesce(jsonb_agg(jsonb_build_object('label', coalesce(name, 'family ' || family), 'versions', versions,
                             'raw', raw_file_bytes, 'stored', stored_bytes, 'saved', saved_against_raw_files) order by saved_against_raw_files desc, family), '[]')
                         from (select * from sparse.%1$ssavings_by_family order by saved_against_raw_files desc, family limit 10) f),
            'owners', (select coalesce(jsonb_agg(jsonb_build_object('label', owner, 'versions', versions,
                             'raw', raw_file_bytes, 'stored', stored_bytes, 'saved', saved_against_raw_files) order by saved_against_raw_files desc, owner), '[]')
                       from (select * from sparse.%1$ssavings_by_owner order by saved_against_raw_files desc, owner limit 10) o),
            'predictors', (select coalesce(jsonb_agg(jsonb_build_object('label', predictor, 'objects', objects,
                             'raw', content_bytes, 'stored', stored_bytes) order by content_bytes desc, predictor), '[]')
                           from sparse.%1$ssavings_by_predictor))$query$, prefix)
    into data;
    if has_table_privilege('sparse.' || prefix || 'egress_by_month', 'select') and
       (whole_store or has_table_privilege('sparse.pull', 'select')) then
        execute format($query$
            select jsonb_build_object('pulls', coalesce(sum(pulls), 0), 'raw', coalesce(sum(raw_file_bytes), 0),
                                      'sent', coalesce(sum(sent_bytes), 0), 'saved_cost', sum(saved_against_raw_files_cost))
            from sparse.%segress_by_month$query$, prefix)
        into found;
        data := data || jsonb_build_object('egress', found);
    end if;
    if has_table_privilege('sparse.storage', 'select') then
        select jsonb_build_object('heap', sum(table_bytes), 'toast', sum(toast_bytes), 'index', sum(index_bytes),
                                  'total', sum(total_bytes), 'payload', sum(payload_bytes))
        into found from sparse.storage;
        data := data || jsonb_build_object('storage', found);
    end if;
    return data;
end
$function$;
comment on function sparse_report_data_of(boolean) is
'What sparse_report_data() finds, as whoever calls it.';

create function sparse_report_data(whole_store boolean default false)
returns jsonb
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_report_data(boolean) is
'The figures of sparse_report(), from those views that the caller may read.';

create function sparse_report_lines(data jsonb)
returns table (section text, label text, figures text[])
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select 'Baselines', x.label, array[@extschema@.sparse_report_bytes(x.bytes),
               case when (t ->> 'stored')::numeric > 0 then round(x.bytes / (t ->> 'stored')::numeric, 2) || ' x' else '-' end]
    from (select data -> 'total') d (t),
         lateral (values ('raw files', (t ->> 'raw')::numeric), ('after whole-file deduplication', (t ->> 'dedup')::numeric),
                         ('each file by zstd -3', (t ->> 'zstd')::numeric), ('stored', (t ->> 'stored')::numeric),
                         ('  of it for dropped versions', nullif((t ->> 'for_dropped')::numeric, 0))) x (label, bytes)
    where x.bytes is not null
    union all
    -- a role's name may have line ends in it, and more that steers a terminal
    select s.section, regexp_replace(e ->> 'label', E'[\\x01-\\x1f\\x7f]', '?', 'g'), array[e ->> s.counted, @extschema@.sparse_report_bytes((e ->> 'raw')::numeric),
               @extschema@.sparse_report_bytes((e ->> 'stored')::numeric),
               coalesce(round(100 * (e ->> 'stored')::numeric / nullif((e ->> 'raw')::numeric, 0), 1) || ' %', '-')]
    from (values ('Families', 'families', 'versions'), ('Owners', 'owners', 'versions'), ('Predictors', 'predictors', 'objects')) s (section, key, counted),
         lateral jsonb_array_elements(data -> s.key) e
    union all
    select 'Disk', x.label, array[@extschema@.sparse_report_bytes((data -> 'storage' ->> x.key)::numeric)]
    from (values ('deltas', 'payload'), ('tables', 'heap'), ('TOAST', 'toast'), ('indexes', 'index'), ('all relations', 'total')) x (label, key)
    where data -> 'storage' ->> x.key is not null
    union all
    select 'Pulls', x.label, array[case when x.key = 'pulls' then data -> 'egress' ->> 'pulls'
                                        else @extschema@.sparse_report_bytes((data -> 'egress' ->> x.key)::numeric) end]
    from (values ('pulls recorded', 'pulls'), ('raw files', 'raw'), ('sent', 'sent')) x (label, key)
    where (data -> 'egress' ->> 'pulls')::numeric > 0
    union all
    select 'Money', x.label, array[round(x.sum::numeric, 2)::text]
    from (values ('storage saved a month', data -> 'total' ->> 'saved_per_month'),
                 ('egress saved so far', data -> 'egress' ->> 'saved_cost')) x (label, sum)
    where x.sum is not null
$function$;
comment on function sparse_report_lines(jsonb) is
'The figures of sparse_report() by section, as text.';

create function sparse_report_bars(items jsonb)
returns text
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    -- a bar of what it was, and on it what is stored; a label ends where the bar begins, however wide its letters are
    select format('<svg viewBox="0 0 760 %s" role="img">', count(*) * 34 + 4)
           || coalesce(string_agg(format(
               '<svg width="218" height="%9$s"><text x="0" y="%1$s" class="l">%2$s</text></svg>'
               '<rect x="225" y="%3$s" width="%4$s" height="18" rx="3" class="raw"/>'
               '<rect x="225" y="%3$s" width="%5$s" height="18" rx="3" class="%8$s"/>'
               '<text x="%6$s" y="%1$s" class="v">%7$s</text>',
               y + 19,
               @extschema@.sparse_report_escape(left(e ->> 'label', case when length(e ->> 'label') > 30 then 29 else 30 end)) || case when length(e ->> 'label') > 30 then '&#8230;' else '' end,
               y + 6, round(265 * raw / greatest(largest, 1), 1), round(265 * stored / greatest(largest, 1), 1),
               round(233 + 265 * greatest(raw, stored) / greatest(largest, 1), 1),
               @extschema@.sparse_report_escape(e ->> 'text'), coalesce(e ->> 'class', 'kept'), y + 34), '' order by y), '')
           || '</svg>'
    from (select e, (n - 1) * 34 as y, coalesce((e ->> 'raw')::numeric, 0) as raw, coalesce((e ->> 'stored')::numeric, 0) as stored,
                 max(greatest((e ->> 'raw')::numeric, (e ->> 'stored')::numeric)) over () as largest
          from jsonb_array_elements(items) with ordinality i (e, n)) b
$function$;
comment on function sparse_report_bars(jsonb) is
'A chart of bars as SVG.';

create function sparse_report_months(items jsonb)
returns text
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select '<svg viewBox="0 0 760 250" role="img">'
           || string_agg(format('<line x1="70" x2="750" y1="%1$s" y2="%1$s" class="grid"/><text x="62" y="%2$s" class="a">%3$s</text>',
                                210 - 50 * g.i, 214 - 50 * g.i, @extschema@.sparse_report_bytes(round(p.top * g.i / 4))), '')
           || p.shapes || '</svg>'
    from generate_series(0, 4) g (i),
         (select max(m.top) as top,
                 string_agg(format(
                     '<rect x="%1$s" y="%2$s" width="%3$s" height="%4$s" class="raw"/>'
                     '<rect x="%1$s" y="%5$s" width="%3$s" height="%6$s" class="kept"/>',
                     round(m.x, 1), round(210 - m.raw_y, 1), round(m.width, 1), round(m.raw_y, 1),
                     round(210 - m.stored_y, 1), round(m.stored_y, 1))
                     || case when (m.count - m.n) % ceil(m.count / 9.0)::int = 0
                             then format('<text x="%s" y="230" class="m">%s</text>', round(m.x + m.width / 2, 1), m.label) else '' end,
                     '' order by m.n) as shapes
          from (select i.n, i.e ->> 'label' as label, c.count, c.top,
                       70 + (i.n - 1) * 680.0 / c.count + 68.0 / c.count as x, least(544.0 / c.count, 90) as width,
                       200 * (i.e ->> 'raw')::numeric / c.top as raw_y, 200 * (i.e ->> 'stored')::numeric / c.top as stored_y
                from jsonb_array_elements(items) with ordinality i (e, n),
                     (select count(*) as count, greatest(max((e ->> 'raw')::numeric), max((e ->> 'stored')::numeric), 1) as top
                      from jsonb_array_elements(items) e) c) m) p
    group by p.shapes
$function$;
comment on function sparse_report_months(jsonb) is
'A chart of months as SVG: all that was there until then.';

create function sparse_report_html(data jsonb)
returns text
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select $html$<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Savings of the store</title>
<style>
:root { --ink: #0f172a; --soft: #64748b; --line: #e2e8f0; --page: #f8fafc; --card: #fff; --raw: #dbe3ee; --kept: #2563eb; --other: #94a3b8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e8f0; --soft: #94a3b8; --line: #334155; --page: #0b1220; --card: #131c2e; --raw: #334155; --kept: #60a5fa; --other: #64748b } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
main { max-width: 860px; margin: 0 auto; padding: 36px 24px }
h1 { font-size: 26px; margin: 0 } h2 { font-size: 16px; margin: 0 0 12px }
p { color: var(--soft); margin: 4px 0 12px }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 24px; margin-top: 20px }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 14px; margin-top: 24px }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 18px }
.card b { display: block; font-size: 25px; font-variant-numeric: tabular-nums } .card span { color: var(--soft); font-size: 13px }
section > svg { display: block; width: 100%; height: auto; font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
.l, .v { fill: var(--ink) } .a, .m { fill: var(--soft); font-size: 11px } .a { text-anchor: end } .m { text-anchor: middle }
.v { font-variant-numeric: tabular-nums } .raw { fill: var(--raw) } .kept { fill: var(--kept) } .other { fill: var(--other) } .grid { stroke: var(--line) }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin: 0 6px 0 14px } .key i:first-child { margin-left: 0 }
</style></head><body><main>
$html$
    || format('<h1>Savings of the store</h1><p>%s</p>', @extschema@.sparse_report_escape(data ->> 'at'))
    || '<div class="cards">' || (
        select string_agg(format('<div class="card"><b>%s</b><span>%s</span></div>', figure, what), '' order by n)
        from (values
            (1, coalesce(round((t ->> 'raw')::numeric / nullif((t ->> 'stored')::numeric, 0), 2) || ' &times;', '-'), 'smaller than raw files'),
            (2, @extschema@.sparse_report_bytes((t ->> 'raw')::numeric - (t ->> 'stored')::numeric), 'saved against raw files'),
            (3, @extschema@.sparse_report_bytes((t ->> 'stored')::numeric), 'stored'),
            (4, t ->> 'versions', 'versions ready'),
            (5, round((t ->> 'saved_per_month')::numeric, 2)::text, 'storage price saved a month'),
            (6, case when (data -> 'egress' ->> 'pulls')::numeric > 0
                     then @extschema@.sparse_report_bytes((data -> 'egress' ->> 'raw')::numeric - (data -> 'egress' ->> 'sent')::numeric) end,
                'egress saved by ' || (data -> 'egress' ->> 'pulls') || ' pulls')) c (n, figure, what)
        where figure is not null) || '</div>'
    || '<section><h2>The same versions, kept otherwise</h2>'
    || @extschema@.sparse_report_bars((
        select jsonb_agg(jsonb_build_object('label', label, 'stored', bytes, 'class', case n when 4 then 'kept' else 'other' end,
                                            'text', @extschema@.sparse_report_bytes(bytes)) order by n)
        from (values (1, 'raw files', (t ->> 'raw')::numeric), (2, 'after whole-file deduplication', (t ->> 'dedup')::numeric),
                     (3, 'each file by zstd -3', (t ->> 'zstd')::numeric), (4, 'stored here', (t ->> 'stored')::numeric)) b (n, label, bytes)
        where bytes is not null))
    || case when t ->> 'zstd' is null then '<p>Not every version was measured with zstd: sparse_measure_zstd() does it.</p>' else '' end
    || '</section>'
    || case when jsonb_array_length(data -> 'months') > 0 then
        '<section><h2>By month</h2><p class="key"><i style="background:var(--raw)"></i>raw files of all versions until then '
        '<i style="background:var(--kept)"></i>stored</p>' || @extschema@.sparse_report_months(data -> 'months') || '</section>' else '' end
    || coalesce((
        select string_agg(format('<section><h2>%s</h2><p class="key"><i style="background:var(--raw)"></i>%s '
                                 '<i style="background:var(--kept)"></i>stored</p>', s.title, s.of)
            || @extschema@.sparse_report_bars((
                select jsonb_agg(e || jsonb_build_object('text', format('%s of %s, %s', @extschema@.sparse_report_bytes((e ->> 'stored')::numeric),
                    @extschema@.sparse_report_bytes((e ->> 'raw')::numeric),
                    case s.key when 'predictors' then (e ->> 'objects') || ' objects' else (e ->> 'versions') || ' versions' end)))
                from jsonb_array_elements(data -> s.key) e)) || '</section>', '' order by s.n)
        from (values (1, 'families', 'Families that save most', 'raw files'), (2, 'owners', 'Owners that save most', 'raw files'),
                     (3, 'predictors', 'By predictor', 'content')) s (n, key, title, of)
        where jsonb_array_length(data -> s.key) > 0), '')
    || case when data ? 'storage' then
        '<section><h2>On disk</h2><p>What the relations of the store take: deltas, and what it takes to keep them.</p>'
        || @extschema@.sparse_report_bars((
            select jsonb_agg(jsonb_build_object('label', label, 'stored', bytes, 'class', class, 'text', @extschema@.sparse_report_bytes(bytes)) order by n)
            from (values (1, 'all relations', (data -> 'storage' ->> 'total')::numeric, 'other'),
                         (2, 'deltas', (data -> 'storage' ->> 'payload')::numeric, 'kept'),
                         (3, 'overhead', (data -> 'storage' ->> 'total')::numeric - (data -> 'storage' ->> 'payload')::numeric, 'other'),
                         (4, 'of all: indexes', (data -> 'storage' ->> 'index')::numeric, 'other')) b (n, label, bytes, class))) || '</section>' else '' end
    || E'</main></body></html>\n'
    from (select data -> 'total') d (t)
$function$;
comment on function sparse_report_html(jsonb) is
'The figures of sparse_report() as a page of HTML that needs nothing else.';

create function sparse_report(format text default 'text', whole_store boolean default false)
returns text
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    data jsonb;
begin
    if format is null or format not in ('text', 'markdown', 'html') then
        raise exception 'unknown format of a report "%"', format
            using errcode = 'invalid_parameter_value',
                  hint = 'Formats are text, markdown and html.';
    end if;
    data := @extschema@.sparse_report_data(coalesce(whole_store, false));
    if format = 'html' then
        return @extschema@.sparse_report_html(data);
    elsif format = 'markdown' then
        return E'# Savings of the store\n\n' || (data ->> 'at') || '; ' || (data -> 'total' ->> 'versions') || E' versions\n'
            || (select string_agg(part, '' order by first)
                from (select min(l.n) as first,
                             E'\n## ' || l.section || E'\n\n'
                             || case when l.section = 'Baselines' then E'| | bytes | against stored |\n|---|--:|--:|\n'
                                     when l.section = 'Predictors' then E'| | objects | content | stored | |\n|---|--:|--:|--:|--:|\n'
                                     when l.section in ('Families', 'Owners') then E'| | versions | raw files | stored | |\n|---|--:|--:|--:|--:|\n'
                                     else E'| | |\n|---|--:|\n' end
                             || string_agg('| ' || @extschema@.sparse_report_escape_markdown(trim(l.label)) || ' | '
                                           || array_to_string(l.figures, ' | ') || E' |\n', '' order by l.n) as part
                      from @extschema@.sparse_report_lines(data) with ordinality l (section, label, figures, n)
                      group by l.section) s);
    end if;
    return 'Savings of the store, ' || (data ->> 'at') || ', ' || (data -> 'total' ->> 'versions') || E' versions\n'
        || (select string_agg(part, '' order by first)
            from (select min(l.n) as first,
                         E'\n' || l.section || case when l.section in ('Families', 'Owners') then ': versions, raw files, stored'
                                                    when l.section = 'Predictors' then ': objects, content, stored' else '' end || E'\n'
                         || string_agg(rpad('  ' || case when length(l.label) > 41 then left(l.label, 38) || '...' else l.label end, 44)
                                       || (select string_agg(lpad(f, 14), '' order by i) from unnest(l.figures) with ordinality u (f, i)) || E'\n', '' order by l.n) as part
                  from @extschema@.sparse_report_lines(data) with ordinality l (section, label, figures, n)
                  group by l.section) s);
end
$function$;
comment on function sparse_report(text, boolean) is
'The savings of those versions that the caller sees, or of the whole store as sparse.all_savings tells, as text, markdown or html: one page with charts that needs nothing else.';
