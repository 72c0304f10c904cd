# Compiles packages of the project as go has planned it. Run as `sh -c THIS compile PACKAGE…` in the input root; the plan is that
# of the first. For each it leaves what importers need and what the linker needs, empty where go wants none.
set -eu
plan=.run/plan/$1/=
for package; do
    mkdir -p ".run/packages/$package/="
    : > ".run/packages/$package/=/export"
    : > ".run/packages/$package/=/object"
done
package() {
    compile=$GOTOOLDIR/$1/compile number=$2 name=$3 from=$PWD${4:+/$4} shown=$5 out=.run/packages/$3/=
    shift 5
    if [ -f "$plan/embeds$number" ]; then set -- -embedcfg "$plan/embeds$number" "$@"; fi
    "$compile" -o "$out/export" -linkobj "$out/object" -c=4 -trimpath "$from=>$shown" -importcfg "$plan/imports$number" "$@" > .run/said 2>&1 || {
        printf '# %s\n' "$name" | cat - .run/said >&2
        exit 1
    }
}
. "./$plan/build.sh"
