# pg_sparse serve answers as the Hugging Face Hub does: what there is, files whole and by ranges, conditions,
# errors by which clients know them, whose request it is; read by curl and by @huggingface/hub of npm.
use strict;
use warnings;

use ClientTest;
use Digest::SHA;
use HubTest;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use SparseTest;
use Test::More;

my $node = client_node(sparse_node('hub'));
my $folder = PostgreSQL::Test::Utils::tempdir() . '/model';
mkdir $_ for $folder, "$folder/sub", "$folder/sub/deep";
my $weights = read_whole(data_file('mini-finetune'));
my %content = (
	'README.md' => "---\nlicense: mit\ntags:\n- tiny\n- test\n---\n# A card\n",
	'config.json' => '{"model_type": "llama"}',
	'model.safetensors' => $weights,
	'sub/empty' => '',
	'sub/deep/odd name+%41?#.txt' => "odd\n");
write_whole("$folder/$_", $content{$_}) for keys %content;

client_works('a model is pushed', 'push', data_file('mini-base'), 'acme/tuned', '-q');
client_works('... and a folder as its second revision', 'push', $folder, 'acme/tuned', '-B', '-q');
client_works('... and another one', 'push', data_file('mini-base'), 'other/secret', '-q');
client_works('... and a tag is given', 'tag', 'acme/tuned@1', 'v1');
psql_one(q{create role reader; create role nobody_at_all;
	grant usage on schema sparse to reader;
	grant select on sparse.version, sparse.file, sparse.tensor, sparse.tag, sparse.parent to reader;
	alter table sparse.version enable row level security;
	create policy mine on sparse.version for select to reader using (name like 'acme/%')});
my ($commit, $first) = map { psql_one("select left(encode(content_sha256, 'hex'), 40) from sparse.version where name = 'acme/tuned' and revision = $_") } 2, 1;

sub decode_or_nothing { my $value = eval { decode_json($_[0]) }; return $value // {} }
sub list_of { my ($text) = @_; my $list = eval { decode_json($text) }; return ref $list eq 'ARRAY' ? $list : [] }

my $url = start_hub('--anonymous', 'reader');

# ---- what there is ----

is(http('GET', '/healthz')->{content}, "ok\n", 'the hub is healthy');
my $info = get_json('a model is told of', '/api/models/acme/tuned');
is_deeply([@$info{qw(id modelId author sha)}], ['acme/tuned', 'acme/tuned', 'acme', $commit], '... by its name and commit');
is_deeply([sort map { $_->{rfilename} } @{ $info->{siblings} }], [sort keys %content], '... with its files');
ok(!exists $info->{siblings}[0]{size}, '... but not their sizes');
is_deeply($info->{tags}, ['tiny', 'test'], '... and the tags of its card');
is($info->{cardData}{license}, 'mit', '... and its license');
is($info->{safetensors}{total}, psql_one(q{select sum((select coalesce(round(exp(sum(ln(n)))), 1) from unnest(shape) n)) from sparse_tensors('acme/tuned')}), '... and the number of its weights');
for my $file (@{ get_json('asked for blobs', '/api/models/acme/tuned?blobs=true')->{siblings} })
{
	my $bytes = $content{ $file->{rfilename} };
	is_deeply([$file->{size}, $file->{lfs}{sha256}], [length $bytes, Digest::SHA::sha256_hex($bytes)], "... the size and SHA-256 of $file->{rfilename} are told");
}
is(get_json("revision $_", "/api/models/acme/tuned/revision/$_")->{sha}, $first, '... is the first') for 'v1', $first, '1', 'refs%2Ftags%2Fv1';
is(get_json("revision $_", "/api/models/acme/tuned/revision/$_")->{sha}, $commit, '... is the second') for 'main', 'HEAD', $commit, '2';
my $refs = get_json('refs', '/api/models/acme/tuned/refs');
is_deeply([map { [@$_{qw(name ref targetCommit)}] } @{ $refs->{branches} }, @{ $refs->{tags} }],
	[['main', 'refs/heads/main', $commit], ['v1', 'refs/tags/v1', $first]], '... are main and the tag');
is_deeply([map { $_->{id} } @{ get_json('commits', '/api/models/acme/tuned/commits/main') }], [$commit, $first], '... are the revisions, newest first');

sub tree { return [map { "$_->{type} $_->{path}" } @{ get_json("the tree $_[0]", "/api/models/acme/tuned/tree/$_[0]") }] }
is_deeply(tree('main'), ['file README.md', 'file config.json', 'file model.safetensors', 'directory sub'], '... is of the topmost folder');
is_deeply(tree('main/sub'), ['directory sub/deep', 'file sub/empty'], '... is of a folder');
is_deeply(tree('main?recursive=true'),
	['file README.md', 'file config.json', 'file model.safetensors', 'directory sub', 'directory sub/deep', 'file sub/deep/odd name+%41?#.txt', 'file sub/empty'], '... is of all');
my ($next, @paged) = '/api/models/acme/tuned/tree/main?recursive=true&limit=3&expand=true';
while ($next)
{
	my $page = http('GET', $next);
	my $files = decode_json($page->{content});
	cmp_ok(scalar @$files, '<=', 3, 'a page has as many as were asked for');
	is($files->[0]{lastCommit}{id}, $commit, '... each with the commit, where that is asked for');
	push @paged, map { "$_->{type} $_->{path}" } @$files;
	($next) = ($page->{headers}{link} // '') =~ /^<([^>]+)>; rel="next"$/;
}
is_deeply(\@paged, tree('main?recursive=true'), '... and all pages are the whole');

for my $request ([{ 'Content-Type' => 'application/json' }, encode_json({ paths => ['config.json', 'sub', 'none', "it's \"odd\\"], expand => JSON::PP::false })],
	[{ 'Content-Type' => 'application/x-www-form-urlencoded' }, 'paths=config.json&paths=sub&paths=none&paths=it%27s+%22odd%5C&expand=False'])
{
	my $answer = http('POST', '/api/models/acme/tuned/paths-info/main', @$request);
	is_deeply([map { "$_->{type} $_->{path}" } @{ list_of($answer->{content}) }], ['file config.json', 'directory sub'],
		"paths asked for as $request->[0]{'Content-Type'} are told of, and those that are not there left out") or diag($answer->{content});
}

# ---- lists ----

is_deeply([map { $_->{id} } @{ get_json('all models', '/api/models') }], ['acme/tuned'], '... are those that the role may see');
is_deeply([map { $_->{id} } @{ get_json("models, $_->[0]", "/api/models?$_->[0]") }], $_->[1], '... are the ones')
  for ['search=TUN', ['acme/tuned']], ['search=x', []], ['author=acme', ['acme/tuned']], ['author=acm', []], ['filter=tiny&filter=test', ['acme/tuned']],
  ['filter=huge', []], ['sort=lastModified&direction=-1', ['acme/tuned']], ["search=%27%3B--", []];
is_deeply(get_json('datasets', '/api/datasets'), [], '... there are none');
psql_one(q{create policy all_of_them on sparse.version for select to reader using (true)});
{
	my ($page, @names) = '/api/models?limit=1';
	for (1 .. 5)
	{
		my $answer = http('GET', $page);
		push @names, map { $_->{id} } @{ decode_json($answer->{content}) };
		($page) = ($answer->{headers}{link} // '') =~ /^<([^>]+)>; rel="next"$/ or last;
	}
	is_deeply(\@names, ['acme/tuned', 'other/secret'], 'a list comes in pages');
	($page, @names) = '/api/models?limit=1&sort=createdAt';
	for (1 .. 5)
	{
		my $answer = http('GET', $page);
		push @names, map { $_->{id} } @{ decode_json($answer->{content}) };
		($page) = ($answer->{headers}{link} // '') =~ /^<([^>]+)>; rel="next"$/ or last;
	}
	is_deeply(\@names, ['other/secret', 'acme/tuned'], '... by time as well');
}
psql_one('drop policy all_of_them on sparse.version');

# ---- files ----

for my $path (sort keys %content)
{
	my $coded = join '/', map { s/([^A-Za-z0-9.])/sprintf '%%%02X', ord $1/ger } split m{/}, $path;
	my $answer = http('GET', "/acme/tuned/resolve/main/$coded");
	is($answer->{status}, 200, "$path is read");
	ok($answer->{content} eq $content{$path}, '... byte for byte');
	is($answer->{headers}{etag}, '"' . Digest::SHA::sha256_hex($content{$path}) . '"', '... with its SHA-256 as its entity tag');
	is($answer->{headers}{'x-repo-commit'}, $commit, '... and its commit');
	my $head = http('HEAD', "/acme/tuned/resolve/main/$coded");
	is_deeply([$head->{status}, $head->{content} // '', map { $head->{headers}{$_} } qw(content-length etag x-linked-size x-linked-etag accept-ranges)],
		[200, '', length $content{$path}, ($answer->{headers}{etag}, length $content{$path}, $answer->{headers}{etag}, 'bytes')], '... and HEAD says the same without it');
}
ok(http('GET', "/acme/tuned/resolve/$_/mini-base.safetensors")->{content} eq read_whole(data_file('mini-base')), "a file of revision $_") for 'v1', $first;

my $file = '/acme/tuned/resolve/main/model.safetensors';
my $size = length $weights;
my $tag = '"' . Digest::SHA::sha256_hex($weights) . '"';
for (['0-0', 0, 1], ['0-7', 0, 8], ['100-', 100, $size - 100], ['-8', $size - 8, 8], ["-@{[$size + 5]}", 0, $size], ["@{[$size - 1]}-", $size - 1, 1],
	["0-@{[$size * 2]}", 0, $size], ['300000-700000', 300000, 400001], ['5-99999999999999999999999', 5, $size - 5])
{
	my ($range, $at, $bytes) = @$_;
	my $answer = http('GET', $file, { Range => "bytes=$range" });
	ok($answer->{status} == 206 && $answer->{content} eq substr($weights, $at, $bytes)
		  && $answer->{headers}{'content-range'} eq sprintf('bytes %d-%d/%d', $at, $at + $bytes - 1, $size), "the range $range is read")
	  or diag("$answer->{status} " . length $answer->{content});
}
for my $range ("$size-", "@{[$size + 10]}-@{[$size + 20]}", '-0', '99999999999999999999999-')
{
	my $answer = http('GET', $file, { Range => "bytes=$range" });
	is_deeply([$answer->{status}, $answer->{headers}{'content-range'}, $answer->{content}], [416, "bytes */$size", ''], "the range $range cannot be");
}
for my $range ('bytes=', 'bytes=-', 'bytes=5-4', 'bytes=a-b', 'bytes=1-2,4-5', 'lines=1-2', 'bytes=0x1-2', 'bytes 0-1', 'bytes=--1')
{
	my $answer = http('GET', $file, { Range => $range });
	ok($answer->{status} == 200 && $answer->{content} eq $weights, "\"$range\" is no range, and the whole is read") or diag($answer->{status});
}
is(http('GET', '/acme/tuned/resolve/main/sub/empty', { Range => 'bytes=0-0' })->{status}, 416, 'an empty file has no ranges');
for (["$tag", 304], ["W/$tag", 304], ["\"x\", $tag", 304], ['*', 304], ['"x"', 200], ['', 200], ['rubbish', 200], [substr($tag, 0, -1), 200])
{
	is(http('GET', $file, { 'If-None-Match' => $_->[0] })->{status}, $_->[1], "If-None-Match $_->[0] is answered by $_->[1]");
}
is(http('GET', $file, { 'If-Match' => '"x"' })->{status}, 412, 'If-Match of another is refused');
is(http('GET', $file, { 'If-Match' => $tag, Range => 'bytes=0-1' })->{status}, 206, '... of this one is not');
is(http('GET', $file, { 'If-Range' => $tag, Range => 'bytes=0-1' })->{status}, 206, 'If-Range of this one lets the range');
is(http('GET', $file, { 'If-Range' => '"x"', Range => 'bytes=0-1' })->{status}, 200, '... of another does not');
{
	my $tensor = psql_one(q{select name from sparse_tensors('acme/tuned') order by bytes desc, name limit 1});
	my ($at, $bytes) = split /\|/, psql_one("select first_byte, bytes from sparse_tensors('acme/tuned') where name = '$tensor'");
	my $answer = http('GET', "$file?tensor=$tensor");
	ok($answer->{content} eq substr($weights, $at, $bytes), 'a tensor is read by its name');
	is($answer->{headers}{etag}, '"' . Digest::SHA::sha256_hex(substr $weights, $at, $bytes) . '"', '... with its own SHA-256');
	is(http('GET', "$file?tensor=$tensor", { Range => 'bytes=2-3' })->{content}, substr($weights, $at + 2, 2), '... and by ranges');
	http_is(404, 'EntryNotFound', 'a tensor that is not there is no entry', 'GET', "$file?tensor=none");
}

# ---- what is not there ----

http_is(404, 'RepoNotFound', 'a name that is not there', 'GET', '/api/models/acme/none');
http_is(404, 'RepoNotFound', 'a name that is hidden is not there either', 'GET', '/api/models/other/secret');
http_is(404, 'RepoNotFound', '... nor its files', 'HEAD', '/other/secret/resolve/main/model.safetensors');
http_is(404, 'RevisionNotFound', 'a revision that is not there', 'GET', '/api/models/acme/tuned/revision/none');
http_is(404, 'RevisionNotFound', '... a commit', 'GET', '/acme/tuned/resolve/' . '0' x 40 . '/config.json');
http_is(404, 'EntryNotFound', 'a file that is not there', 'GET', '/acme/tuned/resolve/main/none');
http_is(404, 'EntryNotFound', '... a folder is no file', 'GET', '/acme/tuned/resolve/main/sub');
http_is(404, 'EntryNotFound', 'a tree that is not there', 'GET', '/api/models/acme/tuned/tree/main/none');
http_is(404, undef, 'another path', 'GET', '/nothing');
http_is(404, 'EntryNotFound', 'a slash may be coded, and leads nowhere', 'GET', '/acme/tuned/resolve/main/..%2f..%2fetc%2fpasswd');
http_is(501, undef, 'what the Hub has and this does not', 'GET', '/api/spaces');
http_is(405, undef, 'a file is not posted', 'POST', $file, {}, 'x');
http_is(400, undef, 'a path that is none', 'GET', "/acme/tuned/resolve/main/$_") for '%', '%zz', '%00', '../x', '%2e%2e/x', '%4';
http_is(404, 'EntryNotFound', 'bytes that are no text are nobody\'s name', 'GET', '/acme/tuned/resolve/main/' . '%C3%A4');
http_is(400, undef, '... and no UTF-8', 'GET', '/acme/tuned/resolve/main/%ff');
http_is(400, undef, 'a body that is no JSON', 'POST', '/api/models/acme/tuned/paths-info/main', { 'Content-Type' => 'application/json' }, '{"paths": [');
http_is(400, undef, 'a cursor that is none', 'GET', '/api/models?sort=createdAt&cursor=x');
http_is(404, 'RepoNotFound', 'quotes in a name are part of it', 'GET', q{/api/models/acme/x'%20or%20true--});
unlike(http('GET', "/api/models/acme/x%0d%0aX-Evil:%201")->{headers}{'x-error-message'}, qr/[\r\n]/, 'a name ends no header');

# ---- whose request it is ----

http_is(401, undef, 'a token that nobody made is refused', 'GET', '/api/models', { Authorization => 'Bearer hf_none' });
http_is(401, undef, '... nobody has no name', 'GET', '/api/whoami-v2');

# ---- HTTP ----

is_deeply([curl($file, '-r', '5-9')], [0, substr($weights, 5, 5)], 'curl -r reads a range');
{
	my $half = PostgreSQL::Test::Utils::tempdir() . '/half';
	write_whole($half, substr $weights, 0, 300_000);
	is(system('curl', '-s', '-C', '-', '-o', $half, "$url$file"), 0, 'curl -C goes on');
	ok(read_whole($half) eq $weights, '... where it was');
}
like(talk("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), qr/\Aok\n.*ok\n\z|200 .*ok\n.*200 .*ok\n\z/s, 'requests come in a pipeline');
like(talk("POST /api/models/acme/tuned/paths-info/main HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
	  . "9\r\n{\"paths\":\r\n10\r\n[\"config.json\"]}\r\n0\r\n\r\n"), qr/^HTTP\/1.1 100 .*"path": "config.json"/s, 'a body comes in chunks, after 100-continue');
like(talk("GET /api/models HTTP/1.1\r\nConnection: close\r\n\r\n"), qr/^HTTP\/1.1 400 /, 'HTTP/1.1 without a host is refused');
like(talk("POST /api/models/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n"), qr/^HTTP\/1.1 413 /, 'a body that is too large is refused before it comes');
like(talk("$_\r\n\r\n"), qr/^(HTTP\/1.1 4\d\d .*)?\z/s, 'what is no request is refused') for 'GET', "\0\1\2", 'GET  /', 'G' x 100_000, 'GET /' . 'a' x 100_000 . ' HTTP/1.1';
# many at once
{
	my @running = map { my $n = $_; my $at = $n * 1000; my $child = open(my $pipe, '-|', 'curl', '-s', '-r', "$at-" . ($at + 99), "$url$file") or die; [$at, $pipe] } 1 .. 200;
	my $right = grep { local $/; my ($at, $pipe) = @$_; my $got = readline $pipe; close $pipe; defined $got && $got eq substr $weights, $at, 100 } @running;
	is($right, 200, '200 requests at once are answered');
}
like(get_metrics(), qr/^sparse_hub_requests_total\{status="2xx"\} \d+$/m, 'metrics count requests');
cmp_ok((get_metrics() =~ /sparse_hub_connections\{state="open"\} (\d+)/)[0], '<=', 2, '... and there are no more connections than allowed');
sub get_metrics { return http('GET', '/metrics')->{content} }

# a database that goes away and comes back
$node->restart;
is(http('GET', '/healthz')->{status}, 200, 'a database that was restarted is found again');
$node->stop('fast');
is(http('GET', '/healthz')->{status}, 503, 'without a database the hub says so');
is(http('GET', $file)->{status}, 503, '... of files too');
$node->start;
is(http('GET', '/healthz')->{status}, 200, '... and is back with it');

# ---- @huggingface/hub ----

SKIP:
{
	my $npm = npm_clients();
	skip 'npm has no packages to give', 11 if !defined $npm;
	my $to = PostgreSQL::Test::Utils::tempdir() . '/downloaded';
	# its downloadFile leaves '?' and '#' of a path as they are: of that file it would ask for another
	client_works('a model is pushed', 'push', data_file('mini-base'), 'acme/plain', '-q');
	write_whole("$folder/sub/deep/plain.txt", 'x');
	unlink "$folder/sub/deep/odd name+%41?#.txt", "$folder/sub/empty";
	delete @content{ 'sub/deep/odd name+%41?#.txt', 'sub/empty' };
	$content{'sub/deep/plain.txt'} = 'x';
	client_works('... as a folder', 'push', $folder, 'acme/plain', '-B', '-q');
	my ($code, $out) = run_script($npm, 'read.mjs', $url, 'acme/plain', '', $to);
	is($code, 0, '@huggingface/hub reads a model');
	my $seen = decode_or_nothing($out);
	is_deeply([sort @{ $seen->{info}{files} // [] }], [sort keys %content], '... modelInfo lists its files');
	is(scalar(grep { read_whole("$to/$_") eq $content{$_} } keys %content), scalar keys %content, '... downloadFile gives each, byte for byte');
	is_deeply([sort map { $_->{path} } grep { $_->{type} eq 'file' && $_->{lfs}{oid} eq Digest::SHA::sha256_hex($content{ $_->{path} }) } @{ $seen->{files} }], [sort keys %content], '... listFiles tells their SHA-256');
	is_deeply($seen->{models}, ['acme/plain', 'acme/tuned'], '... listModels lists what the role sees');
	is_deeply([map { $_->[0] } @{ $seen->{paths} }], ['config.json'], '... pathsInfo finds what is there');
	is_deeply([$seen->{exists}, $seen->{absent}], [[JSON::PP::true, JSON::PP::false], undef], '... fileExists and downloadFile know what is not');
	is_deeply($seen->{refused}, [404, 'Repository not found: nobody/nothing'], '... and why modelInfo fails');
	is(scalar @{ $seen->{commits} // [] }, 2, '... and listCommits its revisions');
}

my $log = hub_log();
like($log, qr{^\S+Z reader "GET /acme/tuned/resolve/main/model.safetensors" 200 $size \d}m, 'the log has a line for each request');
unlike($log, qr/hf_none/, '... without tokens');
is(stop_hub(), 0, 'the hub ends well');
start_hub();
http_is(401, undef, 'without an anonymous role nobody is answered without a token', 'GET', $_) for '/api/models', $file;
is(http('GET', '/healthz')->{status}, 200, '... but who watches is');
is(stop_hub(), 0, '... and it ends well');

# ---- tokens ----

psql_one(q{create role ann login noinherit; create role outsider; create role hub login noinherit; grant usage on schema sparse to ann, hub, outsider;
	grant select on sparse.version, sparse.file, sparse.tensor, sparse.tag, sparse.parent to ann, outsider;
	create policy ann on sparse.version for select to ann using (name like 'other/%');
	grant reader, ann to hub; grant reader to ann; grant select on sparse.token to hub;
	grant insert, delete, select (id, role, scopes, made_at, made_by, expires_at) on sparse.token to ann, outsider});
my ($of_ann, $of_reader, $of_outsider) = map { psql_one("set role $_->[0]; select sparse_token('$_->[1]', scopes => '{read}')") } ['ann', 'ann'], ['ann', 'reader'], ['outsider', 'outsider'];
start_hub('-U', 'hub', '--anonymous', 'reader');
sub models { my ($token) = @_; return join ' ', map { $_->{id} } @{ get_json('models of a token', '/api/models', { Authorization => $token }) } }
is(models("Bearer $of_ann"), 'other/secret', '... are those of its role');
like(models("Bearer $of_reader"), qr{^acme/}, '... of another role');
is(models('Basic ' . encode_base64("anybody:$of_ann", '')), 'other/secret', '... also as a password');
is(http('GET', '/other/secret/resolve/main/mini-base.safetensors', { Authorization => "Bearer $of_ann", Range => 'bytes=0-7' })->{status}, 206, 'files are read by a token');
http_is(404, 'RepoNotFound', '... of what its role may see', 'GET', '/acme/tuned/resolve/main/config.json', { Authorization => "Bearer $of_ann" });
is(get_json('whoami', '/api/whoami-v2', { Authorization => "Bearer $of_ann" })->{name}, 'ann', '... is the role');
http_is(403, undef, 'the hub becomes nobody that its user is no member of', 'GET', '/api/models', { Authorization => "Bearer $of_outsider" });
http_is(401, undef, 'no token is refused, not taken for nobody: ' . substr($_, 0, 12), 'GET', '/api/models', { Authorization => $_ })
  for "Bearer x$of_ann", "Bearer $of_ann ", 'Bearer ', 'Bearer hf_' . '0' x 64, 'Basic eA==', 'Basic ' . encode_base64('ann:ann', ''), 'Digest x', 'x';
psql_one(q{revoke reader from ann});
http_is(401, undef, 'a token is void when its maker is no longer a member', 'GET', '/api/models', { Authorization => "Bearer $of_reader" });
psql_one(q{delete from sparse.token where role = 'ann'});
http_is(401, undef, '... and when it was deleted', 'GET', '/api/models', { Authorization => "Bearer $of_ann" });
is(psql_one(q{select count(*) from sparse.token}), 2, '... as the others were not');
unlike(hub_log(), qr/\Q$of_ann\E|\Q$of_reader\E/, 'tokens are not in the log');
is(stop_hub(), 0, 'the hub ends well');

done_testing();
