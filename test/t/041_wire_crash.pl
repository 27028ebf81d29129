# The server is killed in the middle of an upload, and of its commit, at several moments:
# what was ready before can be read after the restart, nothing of the upload is visible,
# what was written of it is still there, and it goes on from where it was.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;
use Time::HiRes qw(usleep);

my $node = sparse_node('wire_crash');
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->reload;
my $folder = PostgreSQL::Test::Utils::tempdir();
my $large = "$folder/large.safetensors";

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A model of some tensors of 2 MiB, each the data file's bytes in another guise.
# Returns the SHA-256s of the tensors in ascending order, and the file as sparse_begin wants it described.
sub write_large_model
{
	my $bytes = 2 << 20;
	my $content = substr slurp_file(data_file('main-base')), -$bytes;
	my $tensors = 8;
	my @tensor = map { $content ^ pack('v', $_) x ($bytes / 2) } 1 .. $tensors;
	my $header = '{' . join(',', map {
		sprintf '"layer.%d":{"dtype":"BF16","shape":[1024,1024],"data_offsets":[%d,%d]}',
		  $_, $_ * $bytes, ($_ + 1) * $bytes } 0 .. $tensors - 1) . '}';
	$header = pack('Q<', length $header) . $header;
	open my $file, '>:raw', $large or die "$large: $!";
	print $file $header, @tensor;
	close $file or die "$large: $!";
	my $hex = unpack 'H*', $header;
	my $described = sprintf q{jsonb_build_array(jsonb_build_object('path', 'model.safetensors', 'size', %d, 'sha256', '%s',
		'header', translate(encode('\x%s', 'base64'), E'\n', ''), 'tensors', '{%s}'::jsonb))},
	  -s $large, sha256_of_file($large), $hex,
	  join(',', map { sprintf '"layer.%d":"%s"', $_, sha256_hex($tensor[$_]) } 0 .. $tensors - 1);
	return ($described, sort map { sha256_hex($_) } @tensor);
}

my ($described, @published_in_order) = write_large_model();
import_file($node, 'base', 'mini-base');
import_file($node, 'child', 'mini-finetune', 'base');
my %sha256 = (base => sha256_of_file(data_file('mini-base')), child => sha256_of_file(data_file('mini-finetune')));

my $begin = "set sparse.chunk_size = '64kB'; select sparse_begin('large', $described, '{child}')";
my $id = sql($begin);
my $chunks = sql("select count(*) from sparse_layout($id) where wanted");
is($chunks, 256, 'an upload of 256 chunks is opened');

sub wanted { return sql("select count(*) from sparse_layout($id) where wanted") }

# A client that sends what is wanted, a transaction for each chunk, not too fast; from either end;
# but for one tensor, since it may be done before it is killed.
sub start_sending
{
	my ($order, $without) = @_;
	$without //= '';
	return IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', qq{
		do \$\$
		declare
		    r record;
		    data bytea := pg_read_binary_file('$large');
		begin
		    for r in select * from sparse_layout($id) where wanted and tensor <> '$without' order by file_offset $order loop
		        perform sparse_write($id, r.tensor, r.seq, substr(data, r.file_offset::int + 1, r.bytes::int));
		        commit;
		        perform pg_sleep(0.002);
		    end loop;
		end \$\$}], '<', \undef, '>', \my $out, '2>', \my $err);
}

sub start_commit
{
	return IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "select sparse_commit($id)" ],
		'<', \undef, '>', \my $out, '2>', \my $err);
}

sub busy_backends
{
	return split /\n/, sql(q{select pid from pg_stat_activity where pid <> pg_backend_pid() and query ~ 'sparse_(write|commit)' and backend_type = 'client backend'});
}

# Kills the postmaster and those at work for us: the others end when they notice.
sub kill_server
{
	my @left = split /\n/, sql('select pid from pg_stat_activity');
	my @busy = busy_backends();
	push @left, split(/\n/, slurp_file($node->data_dir . '/postmaster.pid'), 2);
	pop @left;
	$node->kill9;
	kill 'KILL', @busy if @busy;
	for (1 .. 600)
	{
		@left = grep { kill 0, $_ } @left or last;
		usleep(50_000);
	}
	die "processes are left: @left" if @left;
	$node->start;
}
sub kill_backend
{
	my @busy = busy_backends() or return;
	kill 'KILL', $busy[0];
	for (1 .. 600)
	{
		last if eval { !grep { $_ eq $busy[0] } busy_backends() };
		usleep(50_000);
	}
	$node->poll_query_until('postgres', 'select true') or die 'the server does not come back';
}
sub stop_at_once
{
	$node->stop('immediate');
	$node->start;
}

sub check_store
{
	my ($when) = @_;
	is(sha256_of_version($node, $_), $sha256{$_}, "$when: $_ can be read") for sort keys %sha256;
	is(sql(q{select string_agg(name, ' ' order by name) from sparse.version where state = 'ready'}), 'base child', "$when: no other version is ready");
	is(sql('select count(*) from sparse.object o where sha256 is null and not exists (select from sparse.staged s where s.object = o.id)'),
		'0', "$when: nothing is left of what nobody owns");
	is(sql($begin), $id, "$when: who begins again goes on with the same version");
}

# ---- while chunks are sent ----

for my $case ([ 20, \&kill_server ], [ 60, \&kill_backend ], [ 110, \&stop_at_once ], [ 170, \&kill_server ])
{
	my ($sent, $kill) = @$case;
	my @client = map { start_sending($_, 'layer.4') } ('asc', 'desc');
	$node->poll_query_until('postgres', "select count(*) <= $chunks - $sent from sparse_layout($id) where wanted");
	$kill->();
	$_->finish for @client;
	check_store("killed after $sent chunks");
	cmp_ok(wanted(), '<=', $chunks - $sent, "killed after $sent chunks: what was written is there");
	my (undef, undef, $error) = $node->psql('postgres', "select sparse_commit($id)");
	like($error, qr/is not complete/, "killed after $sent chunks: it is not committed");
}
start_sending('asc')->finish;
is(wanted(), '0', 'the rest is sent');

# ---- while it is committed ----

# A session that stops the commit at a certain object, by taking its place.
sub start_holder
{
	my ($number) = @_;
	my ($in, $out, $err) = ("begin; insert into sparse.object (place, id, sha256, dtype, bytes, chunk_bytes)"
		  . " values (0, -1, '\\x$published_in_order[$number]', 'BF16', 2, 2); select 'held';\n", '', '');
	my $holder = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], \$in, \$out, \$err);
	$holder->pump until $out =~ /held/ || $err ne '';
	die $err if $err ne '';
	return $holder;
}

for my $case ([ 0, \&kill_server ], [ 3, \&kill_backend ], [ 7, \&stop_at_once ])
{
	my ($number, $kill) = @$case;
	my $holder = start_holder($number);
	my $commit = start_commit();
	ok($node->poll_query_until('postgres', q{
		select exists (select from pg_locks l join pg_stat_activity a using (pid)
		               where not l.granted and a.query ~ 'sparse_commit' and a.pid <> pg_backend_pid())}),
		"killed at object $number: a commit was under way");
	$kill->();
	$commit->finish;
	$holder->kill_kill;
	check_store("killed at object $number");
	is(wanted(), '0', "killed at object $number: all chunks are there");
}
for my $milliseconds (5, 20, 60)
{
	my $commit = start_commit();
	usleep(1000 * $milliseconds);
	stop_at_once();
	$commit->finish;
	last if sql('select count(*) from sparse.version where state = \'ready\'') > 2;
	check_store("killed after $milliseconds ms of the commit");
}

is(sql("select sparse_commit($id)"), $id, 'the commit then succeeds');
is(sha256_of_version($node, 'large'), sha256_of_file($large), 'and the version is what was sent');
is(sql("select count(*) from sparse.version v, sparse_verify(v.id)"), '0', 'no version has a problem');
kill_server();
is(sha256_of_version($node, 'large'), sha256_of_file($large), 'what was committed survives another crash');
is(sql('select (select count(*) from sparse.upload) + (select count(*) from sparse.staged)'), '0', 'nothing of the upload is left beside it');

# ---- and what was given up goes with everything of it ----

$id = sql("set sparse.chunk_size = '64kB'; select sparse_begin('given up', jsonb_build_array(jsonb_build_object('path', 'a', 'size', 1000000, 'sha256', repeat('0', 64))))");
sql("select sparse_write($id, null, seq, convert_to(repeat('x', bytes::int), 'UTF8')) from sparse_layout($id) where seq < 5");
stop_at_once();
is(sql("select versions, objects, chunks from sparse_collect('-1 second')"), '1|1|5', 'an upload that nobody goes on with is collected');
is(sql("select count(*) from sparse.version v, sparse_verify(v.id) where v.state = 'ready'"), '0', 'and nothing else');

$node->stop;
done_testing();
