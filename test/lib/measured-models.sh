# What the scripts share that measure models in PostgreSQL. Sourced behind private-server.sh, from the top.
#
#   begin_measuring NAME   packages, build, and a server in $work, which goes when the script ends, as does the
#                          server; $models, a directory, is then that of copies the server can read. More settings on stdin
#   query ...              psql with those options there
#   $family                rows to be measured: a model, and its parents
#   make_store DATABASE    a fresh database with an empty store, in which a parent is what is named as one

work=

family=(
    "main-base" "main-finetune main-base"
    "mini-base" "mini-finetune mini-base" "mini-finetune-strong mini-base" "mini-finetune-light mini-base"
    "mini-chain-1 mini-finetune" "mini-chain-2 mini-chain-1"
    "mini-lora-adapter" "mini-lora-merged mini-base mini-lora-adapter" "mini-lora-merged mini-base"
    "mini-merge-linear mini-finetune mini-finetune-strong" "mini-merge-slerp mini-finetune mini-finetune-strong"
    "mini-finetune-pruned mini-finetune" "mini-base-int8 mini-base" "mini-longer-vocabulary mini-base"
    "mini-base-fp32" "mini-finetune-fp32 mini-base-fp32" "mini-base-fp16" "mini-finetune-fp16 mini-base-fp16"
    "mini-base mini-base-fp32" "mini-base-fp32 mini-base" "mini-base-fp16 mini-base-fp32" "mini-finetune-fp32 mini-finetune"
)

clean_up() {
    [ -n "$work" ] || return 0
    stop_all_under "$work"
    rm -rf "$work"
}

begin_measuring() {
    local file
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    bash test/install-packages.sh >/dev/null </dev/null
    choose_user
    make -s </dev/null
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/sparse-$1.XXXXXX")
    chmod 755 "$work"
    if [ "$(id -u)" -eq 0 ]; then chown "$run_user" "$work"; fi
    run_home=$work
    install_private "$top" "$work/server" </dev/null
    init_cluster "$work/data" "$work/s"
    start_cluster "$work/data"
    # the server's user may not be able to read the models where they lie
    as_user mkdir "$work/models"
    for file in "$models"/*.safetensors; do as_user tee "$work/models/$(basename "$file")" <"$file" >/dev/null; done
    models=$work/models
}

query() {
    as_user "$bindir/psql" --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 \
        --host="$work/s" --port="$server_port" --username=postgres "$@"
}

make_store() {
    query --dbname=postgres --command="drop database if exists $1" --command="create database $1" 2>/dev/null
    query --dbname="$1" --command="create extension sparse" --command="select sparse_create_store()" \
        --command="alter database $1 set sparse.find_parents = off" >/dev/null
}
