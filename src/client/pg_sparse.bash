# Completion of pg_sparse for bash: commands, their options, files; and names of
# versions, asked of the server that the environment names, if it answers at once.

_pg_sparse_versions() {
    PGCONNECT_TIMEOUT=1 timeout 1 pg_sparse ls -w -n 500 --csv 2>/dev/null </dev/null | sed -n '1d; s/^\([^,"]*\),.*/\1/p'
}

_pg_sparse() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    local commands options
    commands='push pull adopt export status ls log ancestry show diff tree tag parents find-parent rename commit checkout merge savings verify rm undrop gc serve compress reconstruct info estimate bench'
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "$commands --help --version" -- "$current"))
        return
    fi
    case $previous in
        -P | --parent)
            COMPREPLY=($(compgen -W "$(_pg_sparse_versions)" -- "$current"))
            return ;;
        -H | --have | -A | --adapter | -o | --output | --root)
            compopt -o filenames 2>/dev/null
            COMPREPLY=($(compgen -f -- "$current"))
            return ;;
    esac
    if [[ $current == -* ]]; then
        options=$(pg_sparse "$command" --help 2>/dev/null | grep -oE -- '(^ +| )(-[A-Za-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+')
        COMPREPLY=($(compgen -W "$options" -- "$current"))
        return
    fi
    case $command in
        push | adopt | export | status | commit | compress | reconstruct | info | estimate | bench)
            compopt -o filenames 2>/dev/null
            COMPREPLY=($(compgen -f -- "$current")) ;;
        pull | log | ancestry | show | diff | tree | tag | parents | find-parent | rename | checkout | merge | savings | verify | rm | undrop)
            COMPREPLY=($(compgen -W "$(_pg_sparse_versions)" -- "$current")) ;;
    esac
}

complete -F _pg_sparse pg_sparse
