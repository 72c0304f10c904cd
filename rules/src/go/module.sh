# What every use of go in a module begins with: goes to the module's directory, and puts what bindings import where its
# go.mod says it is. RUN_PKG is where that comes from; its own go.mod would ask for a newer Go than its text needs.
enter() {
    cd "$PWD$1"
    if [ -z "${RUN_PKG:-}" ]; then return; fi
    mkdir -p .run/pkg
    cp -R "$RUN_PKG/wit" .run/pkg/
    printf 'module go.bytecodealliance.org/pkg\n\ngo 1.20\n' > .run/pkg/go.mod
    if [ -f vendor/modules.txt ] && [ ! -d vendor/go.bytecodealliance.org/pkg ]; then
        mkdir -p vendor/go.bytecodealliance.org/pkg
        cp -R .run/pkg/wit vendor/go.bytecodealliance.org/pkg/
    fi
}

# Begins with what is compiled already. Go dates what it uses, so it gets a copy; and sweeps what is old unless it did so
# lately.
begin() {
    export GOCACHE="$PWD/.run/$1"
    mkdir -p "$GOCACHE"
    for layer in .run/std .run/deps; do
        if [ -d "$layer" ]; then cp -R "$layer/." "$GOCACHE"; fi
    done
    date +%s > "$GOCACHE/trim.txt"
}

# A text as a pattern of sed's, between bars or commas, that matches nothing else.
literally() {
    printf '%s' "$1" | sed 's/[][\\.*^$|,&]/\\&/g'
}

# Says what go has said, with the paths of the project's sources as its user knows them: from its root.
tell() {
    sed -e "s|^\([^ :/][^ :]*\.go:[0-9]\)|.$(literally "$1")/\1|" -e 's|^\([^ :]*/\)\./|\1|' \
        -e ':up' -e 's|^\([^ :]*/\)[^/ :]*[^/ :.]/\.\./|\1|' -e 't up' -e 's|^\./\([^ :]*/\)|\1|' >&2
}
