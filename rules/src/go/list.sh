# Asks go what it would do to build a program. Run as `sh -c THIS list DIRECTORY PACKAGE BUILDMODE LDFLAGS` in the input root,
# with the heads of the sources in their place, and in .run/own the packages that are the project's. Leaves .run/list.
set -eu
here=$PWD list=$PWD/.run/list directory=$1
mkdir -p "$list/cache"
printf '%s\n' "$here" "$GOROOT" > "$list/places"
begin cache
enter "$1"
plan() {
    "$GOROOT/bin/go" build -n -trimpath -buildvcs=false -buildmode="$2" -ldflags="$3" -o module.wasm "$1" 2> "$list/plan" || {
        tell "$directory" < "$list/plan"
        exit 1
    }
}
plan "$2" "$3" "$4"

# What others wrote is compiled already, unless something is wrong with it: then this says what.
foreign=$(sed -n 's/^# \([^ ]*\)$/\1/p' "$list/plan" | grep -vxF -f "$here/.run/own" || true)
if [ -n "$foreign" ]; then
    "$GOROOT/bin/go" build -trimpath $foreign 2> "$list/said" || {
        tell "$directory" < "$list/said"
        exit 1
    }
    rm "$list/said"
    plan "$2" "$3" "$4"
    cd "$GOCACHE"
    for file in $(grep -o "=$GOCACHE/[0-9a-f/]*-d$" "$list/plan" | sed "s|^=$GOCACHE/||" | sort -u); do
        if [ ! -e "$here/.run/std/$file" ] && [ ! -e "$here/.run/deps/$file" ]; then
            mkdir -p "$list/cache/${file%/*}"
            cp "$file" "$list/cache/$file"
        fi
    done
fi
