# Compiles packages and keeps them as go's build cache does. Run as `sh -c THIS cache DIRECTORY PACKAGE…` in the input root,
# where DIRECTORY is that of a module, empty or with a `/` in front.
#
# A package that can't be found or compiled is left to the step that needs it: that one says what is wrong.
set -eu
here=$PWD
begin out
dir=$1
shift
enter "$dir"
"$GOROOT/bin/go" list -e -export -trimpath -f '' -- "$@" > "$here/.run/listed"

# Kept is what this step made, and nothing that tells when: an entry ends with its time.
cd "$GOCACHE"
if [ -d "$here/.run/std" ]; then (cd "$here/.run/std" && find . -type f) | xargs rm -f; fi
find . -type f -name '*-a' -exec sed -i.bak 's/.\{20\}$/ 1000000000000000000/' {} +
find . -type f ! -name '*-a' ! -name '*-d' -exec rm -f {} +
find . -depth -type d -empty ! -name . -exec rmdir {} +
