# Gets the modules that a go.mod requires. Run as `sh -c THIS fetch DIRECTORY` in the input root.
#
# Go checks each against go.sum. One that go.sum does not know is not kept: the compiler then says that, and what to do.
# The user's proxies and credentials are used; what is kept does not tell which.
set -eu
export GOMODCACHE="$PWD/.run/out" GOCACHE="$PWD/.run/cache"
mkdir -p "$GOMODCACHE"
enter "$1"
mkdir -p .run/mod
cp go.mod .run/mod/go.mod
cp go.sum .run/mod/go.sum
chmod u+w .run/mod/go.mod .run/mod/go.sum
"$GOROOT/bin/go" mod download -modfile=.run/mod/go.mod || {
    echo "the modules that go.mod requires can't be had: see that GOPROXY names a proxy that can be reached and that go.sum is right, or run \`go mod vendor\` and commit what it writes" >&2
    exit 1
}
GOPROXY=off "$GOROOT/bin/go" mod download -json -modfile=.run/mod/go.mod > .run/mod/list
awk -F'"' '
    /^\t"Path":/ { path = $4; sum = ""; dir = "" }
    /^\t"Version":/ { version = $4 }
    /^\t"Dir":/ { dir = $4 }
    /^\t"Sum":/ { sum = $4 }
    /^}/ { print path " " version " " sum "\t" dir }
' .run/mod/list | while IFS="$(printf '\t')" read -r line dir; do
    if [ -n "$dir" ] && ! grep -qxF -e "$line" go.sum; then rm -rf "$dir"; fi
done
cd "$GOMODCACHE"
rm -rf cache/lock cache/vcs cache/download/sumdb
find . -type f \( -path './cache/*.zip' -o -path './cache/*.lock' -o -path './cache/*.info' -o -path './cache/*/list' \) -exec rm -f {} +
find . -type d -exec chmod u+w {} +
