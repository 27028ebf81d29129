-- Tags: names that move, with their history; every way to name a version.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function import(name text, content text) returns bigint language sql as $$
    select sparse_import_bytes(name, '\x0a000000000000007b7d' || convert_to(rpad('', 8), 'UTF8'), metadata => '{}')
    where content is null
    union all
    select sparse_import_bytes(name, decode(lpad(to_hex(octet_length(h)), 2, '0'), 'hex') || '\x00000000000000' || convert_to(h || content, 'UTF8'))
    from (select json_build_object('t', json_build_object('dtype', 'U8', 'shape', array[octet_length(content)],
                                                          'data_offsets', array[0, octet_length(content)]))::text as h) x
    where content is not null $$;
select import('org/m', 'one'), import('org/m', 'two'), import('org/m', 'three'), import('org/n', 'other');

-- A tag is given, and tells who bore it before
select sparse_tag('org/m@1', 'production');
select sparse_tag('org/m@2', 'production');
select sparse_tag(3, 'candidate');
select sparse_tag('org/n', 'production');
select name, tag, version, moved_by = current_user as by_me from sparse.tag order by name, tag;
-- to give it again changes nothing
select sparse_tag('org/m@2', 'production') = 2 as unchanged;
-- What a version bears can name it, wherever a version is given as text
select sparse_resolve('org/m@production'), sparse_resolve('org/m@candidate'), sparse_resolve('org/n@production'),
       sparse_resolve('org/m'), sparse_resolve('org/m@1'), sparse_resolve('3');
select convert_from(sparse_tensor('org/m@production', 't'), 'UTF8');
select sparse_tag('org/m@candidate', 'production');
select convert_from(sparse_tensor('org/m@production', 't'), 'UTF8');
select sparse_import_bytes('org/child', '\x02000000000000007b7d', '{org/m@production}') as id;
select parent from sparse.parent;
-- in one statement with what it names
select sparse_tag(import('org/fresh', 'new'), 'first') is null as new;
select sparse_resolve('org/fresh@first') = sparse_resolve('org/fresh') as there;

-- Tags that would be taken for something else are refused, and so are references that name nothing
select sparse_tag('org/m', '7');
select sparse_tag('org/m', '');
select sparse_tag('org/m', 'a@b');
select sparse_tag('org/m', E'a\nb');
select sparse_tag('org/m', repeat('x', 129));
select sparse_tag('org/m', repeat('ä', 128)) is null as longest;
select sparse_tag('no such', 'production');
select sparse_resolve('org/m@no such');
select sparse_resolve('org/m@');
select sparse_resolve('org/m@production@1');
select sparse_resolve('@production');
select sparse_resolve('');
select sparse_tag(null::text, 'x') is null as nothing, sparse_resolve(null) is null as neither;

-- A tag is taken away
select sparse_untag('org/m', repeat('ä', 128));
select sparse_untag('org/m', 'candidate');
select sparse_untag('org/m', 'candidate');
select sparse_resolve('org/m@candidate');

-- A dropped version keeps its tags but cannot be read by them, nor be given any
select sparse_drop('org/m@production');
select sparse_resolve('org/m@production');
select sparse_version_id('org/m@production');
select sparse_tag(3, 'late');
select sparse_tag('org/m@1', 'production');

-- The history holds every move, in order
select name, left(tag, 12) as tag, from_version, to_version, moved_by = current_user as by_me, moved_at <= clock_timestamp() as dated
from sparse.tag_history order by id;
-- and can be played back to the tags that there are
select count(*) as differences from (
    (select distinct on (name, tag) name, tag, to_version from sparse.tag_history order by name, tag, id desc)
    except select name, tag, version from sparse.tag) h where to_version is not null;

-- Nothing that failed left a trace
begin;
select sparse_tag('org/m@2', 'rolled back');
rollback;
select count(*) from sparse.tag where tag = 'rolled back';

-- The store's owner may refuse moves by a trigger on the history, which finds who moves in moved_by, and may not swallow them
create function refuse() returns trigger language plpgsql as $$
begin
    if new.tag = 'swallowed' then return null; end if;
    if new.tag = 'production' and new.moved_by = current_user then raise exception 'not by %', 'you'; end if;
    return new;
end $$;
create trigger refuse before insert on sparse.tag_history for each row execute function refuse();
select sparse_tag('org/m@2', 'production');
select sparse_untag('org/m', 'production');
select sparse_tag('org/m@2', 'swallowed');
select sparse_tag('org/m@2', 'other');
drop trigger refuse on sparse.tag_history;
select sparse_resolve('org/m@production'), (select count(*) from sparse.tag where tag = 'swallowed') as swallowed;
create rule nothing as on delete to sparse.tag do instead nothing;
select sparse_untag('org/m', 'other');
drop rule nothing on sparse.tag;
select sparse_untag('org/m', 'other');
