# Asks go what it would do to build a program. Run as `sh -c THIS list DIRECTORY PACKAGE LDFLAGS` in the input root,
# with the heads of the sources in their place, and in .run/own the packages that are the project's. Leaves .run/list.
set -eu
here=$PWD list=$PWD/.run/list directory=$1
mkdir -p "$list/cache"
begin cache
enter "$1"
plan() {
    "$GOROOT/bin/go" build -n -trimpath -buildvcs=false -buildmode=c-shared -pgo=off -ldflags="$2" -o module.wasm "$1" 2> "$list/plan" || {
        tell "$directory" < "$list/plan"
        exit 1
    }
}
plan "$2" "$3"

# What others wrote is compiled already, unless something is wrong with it: then this says what.
foreign=$(sed -n 's/^# \([^ ]*\)$/\1/p' "$list/plan" | grep -vxF -f "$here/.run/own" || true)
if [ -n "$foreign" ]; then
    # Sources of the project are not whole here.
    back=$("$GOROOT/bin/go" list -deps -f '{{.ImportPath}} {{.Dir}}' $foreign | awk -v here="$here/" -v made="$here$directory/imports/" '
        { path = $1; sub(/^[^ ]* /, "") }
        index($0, here) == 1 && index($0, here ".run/") != 1 && index($0 "/", made) != 1 && $0 !~ /\/vendor\// && $0 !~ /\/\.run\// { print path }
    ')
    if [ -n "$back" ]; then
        echo "modules of others import these packages of the project, which can't be built apart from them then:" $back >&2
        echo "move them to a module that both require" >&2
        exit 1
    fi
    "$GOROOT/bin/go" build -trimpath $foreign 2> "$list/said" || {
        tell "$directory" < "$list/said"
        exit 1
    }
    rm "$list/said"
    plan "$2" "$3"
    cd "$GOCACHE"
    for file in $(sed -n "s|^packagefile [^=]*=$(literally "$GOCACHE")/\([0-9a-f/]*-d\)$|\1|p" "$list/plan" | sort -u); do
        if [ ! -e "$here/.run/std/$file" ] && [ ! -e "$here/.run/deps/$file" ]; then
            mkdir -p "$list/cache/${file%/*}"
            cp "$file" "$list/cache/$file"
        fi
    done
fi
sed -n '/^go: /p' "$list/plan" >&2

# Nothing of where this ran, and on how many processors.
sed -i -e "/^# /!s,\(^\|[ \"=]\)$(literally "$here")\([/=\"]\|\$\),\1/in\2,g" \
    -e "/^# /!s,\(^\|[ \"=]\)$(literally "$GOROOT")/,\1/go/,g" -e 's, -c=[0-9]*,,' "$list/plan"
