# What a store keeps of text is the same text after a dump and a restore into a database of
# another encoding, or is refused by name; bytes stay bytes.
use strict;
use warnings;
use utf8;

use Encode qw(encode);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

$ENV{PGCLIENTENCODING} = 'UTF8';

my $node = sparse_node('encodings');
my $folder = PostgreSQL::Test::Utils::tempdir();

sub sql
{
	my ($database, $statement) = @_;
	return $node->safe_psql($database, encode('UTF-8', $statement));
}

sub error_of
{
	my ($database, $statement) = @_;
	my ($code, $out, $error) = $node->psql($database, encode('UTF-8', "set lc_messages = 'C'; $statement"));
	return $error;
}

sub database
{
	my ($name, $encoding) = @_;
	sql('postgres', "create database $name encoding '$encoding' template template0 lc_collate 'C' lc_ctype 'C'");
}

# Of a database into another: all but what is left out.
sub copy_into
{
	my ($from, $to, @left_out) = @_;
	my $dump = "$folder/$from.dump";
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, @left_out, $from ], "$from is dumped");
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $to, $dump ], "$from is restored into $to");
}

sub problems
{
	my ($database) = @_;
	return sql($database, q{
		select v.name || ': ' || p.problem from sparse.version v, sparse_verify(v.id) p where v.state = 'ready' and v.kind = 'model'
		union all select v.name || ': ' || p.column_name || ': ' || p.problem from sparse.version v, sparse_verify_rows(v.id) p where v.state = 'ready' and v.kind = 'dataset'});
}

# ---- a store in LATIN1: text of every form, names that are not ASCII, a model with such names ----

database('one', 'LATIN1');
mkdir "$folder/model";
{
	my $header = encode('UTF-8', '{"gewicht é":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"__metadata__":{"who":"João"}}');
	open my $file, '>:raw', "$folder/model/" . encode('UTF-8', 'modéle.safetensors') or die $!;
	print $file pack('Q<', length $header) . $header . "\xe9\xff\x00";
	close $file;
	open $file, '>:raw', "$folder/model/" . encode('UTF-8', 'café.txt') or die $!;
	print $file "\xe9";
	close $file;
}
sql('one', qq{
	create extension sparse;
	select sparse_create_store();
	create type "größe" as enum ('klein', 'groß');
	create type paar as ("schlüssel" text, n int, g "größe");
	create domain wort as text;
	create type worte as range (subtype = text, collation = "C");
	create table plain as
	select i as id, 'é' || i as t, ('ñ' || i)::varchar(20) as v, ('ü' || i)::char(8) as c, ('ã' || i)::name as n,
	       json_build_object('ö', 'ä' || i) as j, jsonb_build_object('ö', 'ä' || i, 'x', array['ß']) as jb, ('<ä>é' || i || '</ä>')::xml as x,
	       array['á' || i, null, 'a'] as a, row('ÿ' || i, i, 'groß')::paar as "spälte", (enum_range(null::"größe"))[1 + i % 2] as e,
	       array[row('ÿ', i, 'groß')::paar] as ap, ('þ' || i)::wort as w, worte('à', 'é' || i) as r, to_tsvector('simple', 'é' || i) as ts,
	       '\\xe9c3a9ff'::bytea as b, 'ascii ' || i as plain
	from generate_series(1, 300) i;
	select sparse_commit_rows('d', 'select * from plain order by id', key => '{t}');
	select sparse_commit_splits('zweige', '{"prüfung": "select 1 as i", "übung": "select 2 as i"}');
	select sparse_import_file('m', '$folder/model');
});
is(problems('one'), '', 'a store in LATIN1 has no problems');
is(sql('one', "select string_agg(path, ' ' order by path) from sparse_files('m')"), encode('UTF-8', 'café.txt modéle.safetensors'), 'names of files are text, not bytes');

# What a table says, a line a row; whatever the settings of the session.
sub rows_of { return sql($_[0], "select r::text from $_[1] r order by id") }

my %of;
$of{plain} = rows_of('one', 'plain');

# ---- into UTF-8, and back; into a database without an encoding ----

for my $target (['two', 'UTF8', 'one'], ['three', 'LATIN1', 'two'], ['nine', 'LATIN9', 'one'])
{
	my ($name, $encoding, $from) = @$target;
	database($name, $encoding);
	copy_into($from, $name, '-T', 'checked_out');
	is(problems($name), '', "$name: nothing is wrong, nor said to be");
	is(sql($name, "select sparse_checkout('d', 'checked_out')"), 300, "$name: the rows come out");
	is(sql($name, 'select count(*) from checked_out c full join plain p using (id) where (c.*)::text is distinct from (p.*)::text'), 0,
		"$name: they are those of the table that pg_dump converted");
	is(rows_of($name, 'checked_out'), $of{plain}, "$name: and read as they did");
	is(sql($name, "select sparse_row('d', 'é7') ->> 'v'"), encode('UTF-8', 'ñ7'), "$name: a row is found by its key");
	is(sql($name, "select sparse_commit_rows('d', 'select * from plain order by id', key => '{t}') = sparse_version_id('d\@1')"), 't',
		"$name: the same rows are the same version");
	is(sql($name, "select sparse_import_file('m', '$folder/model') = sparse_version_id('m\@1')"), 't', "$name: the same files are the same version");
	is(sql($name, "select count(*) from sparse_rows('zweige', 'übung')"), 1, "$name: splits have their names");
	is(sql($name, "select encode(sparse_tensor('m', 'gewicht é'), 'hex')"), 'e9ff00', "$name: tensors have their names, and their bytes");
	sql($name, "select sparse_commit_rows('d', 'select * from plain where id <> 7 order by id', 'd', '{t}')");
	is(sql($name, "select op || (key ->> 't') from sparse_row_diff('d\@1', 'd')"), encode('UTF-8', 'removedé7'),
		"$name: versions of before and after are compared by their text");
	sql($name, "select sparse_drop('d')");
	is(sql($name, "select sparse_export('m', '$folder/$name') > 0"), 't', "$name: files are exported");
	ok(-e "$folder/$name/" . encode('UTF-8', 'café.txt'), "$name: under their names");
}

database('none', 'SQL_ASCII');
copy_into('two', 'none', '-T', 'checked_out');
is(problems('none'), '', 'none: nothing is wrong, nor said to be');
is(sql('none', "select sparse_checkout('d', 'checked_out')"), 300, 'none: the rows come out');
is(sql('none', q{select distinct j.key from checked_out o join plain p using (id), jsonb_each_text(to_jsonb(o)) j
	where rtrim(j.value) is distinct from rtrim(to_jsonb(p) ->> j.key)}), '', 'none: they are those of the table, but for the blanks behind a character(n)');

# ---- into an encoding that cannot express all of it ----

database('four', 'LATIN2');
copy_into('one', 'four', '-T', 'plain');
like(error_of('four', "select sparse_rows('d', columns => '{id,n}')"), qr/has no equivalent in encoding "LATIN2".*column "n" of version "d\@1", row 1/s, 'what cannot be expressed is refused by name');
like(error_of('four', "select sparse_checkout('d', 'out')"), qr/has no equivalent in encoding "LATIN2".*column "[a-z]+" of version "d\@1"/s, 'for a table as well');
like(problems('four'), qr/^d: n: rows 1 to 300: character .* has no equivalent/m, 'and verification says so');
is(sql('four', "select r ->> 't' from sparse_rows('d', columns => '{t}', rows => 1) r"), encode('UTF-8', 'é1'), 'what can be expressed is read');
is(sql('four', "select r ->> 'n' from sparse_rows('d', columns => '{n}', rows => 1, form => 'raw') r"), '\xc3a331', 'bytes are to be had in any case');

# ---- bytes of a database without an encoding ----

database('bytes', 'SQL_ASCII');
sql('bytes', q{
	create extension sparse;
	select sparse_create_store();
	set client_encoding = 'SQL_ASCII';
	select sparse_commit_rows('known', $$select i as id, convert_from('\xc3a9'::bytea, 'SQL_ASCII') as t from generate_series(1, 5) i$$);
	select sparse_commit_rows('unknown', $$select i as id, convert_from('\xe9'::bytea, 'SQL_ASCII') || i as t from generate_series(1, 5) i$$);
});
is(problems('bytes'), '', 'a database without an encoding keeps what it is given');
is(sql('bytes', "select string_agg(distinct encode(t::bytea, 'hex'), ' ') from (select (sparse_rows('known') ->> 't') as t) r"), 'c3a9', 'and gives it back');
database('five', 'UTF8');
copy_into('bytes', 'five');
is(sql('five', "select r ->> 't' from sparse_rows('known', rows => 1) r"), encode('UTF-8', 'é'), 'what is UTF-8 is text');
like(error_of('five', "select sparse_rows('unknown')"), qr/invalid byte sequence for encoding "UTF8".*column "t" of version "unknown\@1", row 1/s, 'what is not is refused by name');
like(error_of('five', "select sparse_checkout('unknown', 'out')"), qr/invalid byte sequence.*column "t" of version "unknown\@1"/s, 'and gets into no table');
is(sql('five', "select r ->> 't' from sparse_rows('unknown', rows => 1, form => 'text') r"), '\xe931', 'as text it is shown as the bytes that it is');
like(problems('five'), qr/^unknown: t: rows 1 to 5: invalid byte sequence/, 'and verification says so');

done_testing();
