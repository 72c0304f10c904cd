# Links a program as go has planned it. Run as `sh -c THIS link PACKAGE` in the input root, where PACKAGE is that of `main`.
set -eu
main=$1
mkdir -p .run/out
link() {
    link=$GOTOOLDIR/$1/link
    shift
    GOROOT= "$link" -o .run/out/module.wasm -importcfg .run/plan/=/imports "$@" ".run/packages/$main/=/object" > .run/said 2>&1 || {
        { printf '# %s\n' "$main"; cat .run/said; } >&2
        exit 1
    }
    if [ -s .run/said ]; then cat .run/said >&2; fi
}
. ./.run/plan/=/link.sh
