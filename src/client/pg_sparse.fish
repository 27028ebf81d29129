# Completion of pg_sparse for fish: commands, their options, files; and names of versions, asked of the server that
# the environment names, if it answers at once.

function __pg_sparse_commands
    pg_sparse --help 2>/dev/null | string match -r '^  [a-z-]+ +[a-z].*' | string replace -r '^  ([a-z-]+) +(.*)' '$1\t$2'
end

function __pg_sparse_options
    set -l command (commandline -opc)[2]
    pg_sparse $command --help 2>/dev/null | string match -r -- '--[a-z-]+.*' | string replace -r -- '^(--[a-z-]+)[ A-Z=]* +(.*)' '$1\t$2'
end

function __pg_sparse_versions
    env PGCONNECT_TIMEOUT=1 timeout 1 pg_sparse ls -w -n 500 --csv 2>/dev/null </dev/null | sed -n '1d; s/^\([^,"]*\),.*/\1/p'
end

set -l with_files push adopt export status commit compress reconstruct info estimate bench
set -l with_versions pull log ancestry show diff tree tag parents find-parent rename checkout merge savings verify rm undrop
complete -c pg_sparse -n __fish_use_subcommand -f -a '(__pg_sparse_commands)'
complete -c pg_sparse -n "__fish_seen_subcommand_from $with_files" -F
complete -c pg_sparse -n "__fish_seen_subcommand_from $with_versions" -f -a '(__pg_sparse_versions)'
complete -c pg_sparse -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct)' -f -a '(__pg_sparse_options)'
complete -c pg_sparse -s P -l parent -x -a '(__pg_sparse_versions)'
complete -c pg_sparse -s H -l have -r -F
complete -c pg_sparse -s A -l adapter -r -F
complete -c pg_sparse -s o -l output -r -F
