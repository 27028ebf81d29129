#compdef pg_sparse
# Completion of pg_sparse for zsh: commands, their options, files; and names of versions, asked of the server that
# the environment names, if it answers at once.

_pg_sparse_names() {
    local -a names
    names=(${(f)"$(PGCONNECT_TIMEOUT=1 timeout 1 pg_sparse ls -w -n 500 --csv 2>/dev/null </dev/null | sed -n '1d; s/^\([^,"]*\),.*/\1/p')"})
    compadd -a names
}

_pg_sparse() {
    local -a lines
    if (( CURRENT == 2 )); then
        lines=(${(f)"$(pg_sparse --help 2>/dev/null | sed -n 's/^  \([a-z-]*[a-z]\)  *\([a-z].*\)/\1:\2/p')"})
        _describe command lines
    elif [[ $words[CURRENT] == -* ]]; then
        lines=(${(f)"$(pg_sparse $words[2] --help 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u)"})
        compadd -a lines
    else
        case $words[CURRENT-1] in
            -P | --parent) _pg_sparse_names; return ;;
            -H | --have | -A | --adapter | -o | --output | --root) _files; return ;;
        esac
        case $words[2] in
            push | adopt | export | status | commit | compress | reconstruct | info | estimate | bench) _files ;;
            *) _pg_sparse_names ;;
        esac
    fi
}

_pg_sparse "$@"
