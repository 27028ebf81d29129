# The recipes of docs/datasets.md for loading files run as they stand there, and give back
# what was in the files. The one with pandas runs on a frame made here, as Debian has no
# package that reads Parquet.
use strict;
use warnings;

use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = sparse_node('recipes');
my $page = slurp_file('docs/datasets.md');
my ($section) = $page =~ /^## Load a file\n(.*?)^## /ms or die 'no recipes';
my @sql = $section =~ /^```sql\n(.*?)^```$/msg;
is(scalar @sql, 4, 'the page has recipes for CSV, both ways, and for JSONL');
my $folder = PostgreSQL::Test::Utils::tempdir();
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';

sub write_file
{
	my ($name, $content) = @_;
	open my $file, '>:raw', "$folder/$name" or die "$name: $!";
	print $file $content;
	close $file or die "$name: $!";
}

# As a user in the folder of his files would.
sub run_psql
{
	my ($name, $script) = @_;
	write_file('recipe.sql', $script);
	my $output = `cd '$folder' && psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --file=recipe.sql 2>&1`;
	is($?, 0, "$name runs") or diag($output);
}

# What copy itself writes so: nulls, empty strings, quotes, line feeds
write_file('dev.csv', join('', "id,question,answers\n", map { my $i = $_;
	"$i," . ('', '""', "\"Who \"\"$i\"\"?\nAnd \xc3\xa9, why?\"", "What is $i?")[ $i % 4 ] . ",\"[\"\"$i\"\", 1]\"\n" } 1 .. 3000));
run_psql('the recipe for CSV, there and back', $sql[0] . $sql[1]);
is(slurp_file("$folder/dev-again.csv"), slurp_file("$folder/dev.csv"), 'the CSV is the same file again');
is($node->safe_psql('postgres', q{select count(*) filter (where r -> 'question' = 'null') || ' ' || count(*) filter (where r ->> 'question' = '') from sparse_rows('acme/dev') r}),
	'750 750', 'nulls are nulls, and empty strings are empty strings');

write_file('train.jsonl', join('', map { my $i = $_;
	sprintf "{\"prompt\" : \"Q %d: \\\"x\\\\y\\\", \\n\\t \\u00e9 \xc3\xa9,\",  \"score\":%s, \"completion\":%s}\n",
	  $i, $i / 7, $i % 3 ? "\"" . 'a,"' =~ s/"/\\"/r x ($i % 5) . "\"" : 'null' } 1 .. 2000));
run_psql('the recipe for JSONL', $sql[2]);
my @before = map { decode_json($_) } split /\n/, slurp_file("$folder/train.jsonl");
my @after = map { decode_json($_) } split /\n/, slurp_file("$folder/train-again.jsonl");
is_deeply(\@after, \@before, 'the lines have the same values, in the same order');
run_psql('the recipe for the very lines', $sql[3]);
is(slurp_file("$folder/raw-again.jsonl"), slurp_file("$folder/train.jsonl"), 'they are the same file again');

SKIP:
{
	my ($python) = grep { system("$_ -c 'import psycopg, pandas' 2>/dev/null") == 0 } qw(python3 /usr/bin/python3);
	skip 'needs python3-pandas and python3-psycopg', 2 unless $python;
	my ($script) = $section =~ /^```python\n(.*?)^```$/ms;
	$script =~ s/^frame = pandas\.read_parquet\(.*\)$/frame = pandas.DataFrame({"text": ["a", "", None, 'q"uo\\nted\\t\\\\N', "NULL"], "label": [1, 2, 3, 4, 5]})/m
	  or die 'the recipe reads no Parquet';
	write_file('recipe.py', $script);
	my $output = `$python '$folder/recipe.py' 2>&1`;
	is($?, 0, 'the recipe for pandas runs') or diag($output);
	is($node->safe_psql('postgres', q{select string_agg(r ->> 'label' || ' ' || coalesce(to_json(r ->> 'text')::text, 'null'), ', ' order by n) from sparse_rows('acme/train') with ordinality x (r, n)}),
		q{1 "a", 2 "", 3 null, 4 "q\"uo\nted\t\\\\N", 5 "NULL"}, 'what the frame held was stored');
}

$node->stop;
done_testing();
