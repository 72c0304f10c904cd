//! Plans as Go 1.27 prints them, and texts that are none.

use super::*;

/// A package that embeds a file and has empty assembly, and a program; names are shortened.
const TEXT: &str = include_str!("sample.txt");

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_plan_is_what_go_prints() {
    let plan = Plan::parse(TEXT).unwrap();
    let embed = Import::Kept("embed".to_owned(), "7a/7a0e-d".to_owned());
    let flags = "-p a.b/api/page -lang=go1.24 -dwarf=false -goversion go1.27.3 -nolocalimports -pack";
    let embeds = "{\n\t\"Patterns\": {\n\t\t\"x y.txt\": [\n\t\t\t\"x y.txt\"\n\t\t]\n\t},\n\t\"Files\": {\n\t\t\
                  \"x y.txt\": \"api/page/x y.txt\"\n\t}\n}";
    let page = Compile {
        package: "a.b/api/page".to_owned(),
        dir: "api/page".to_owned(),
        shown: "a.b/api/page".to_owned(),
        flags: flags.split(' ').map(str::to_owned).collect(),
        imports: vec![embed.clone()],
        embeds: Some(embeds.to_owned()),
        files: strings(&["api/page/page.go", "api/page/a b.go"]),
    };
    let main = Compile {
        package: "a.b/api".to_owned(),
        dir: "api".to_owned(),
        shown: "a.b/api".to_owned(),
        flags: strings(&["-p", "main", "-lang=go1.24", "-complete", "-pack"]),
        imports: vec![Import::Planned("a.b/api/page".to_owned())],
        embeds: None,
        files: strings(&["api/main.go"]),
    };
    let line = r#"modinfo "0w\xaf\npath\ta.b/api""#.to_owned();
    let planned = |name: &str| Import::Planned(name.to_owned());
    let link = Link {
        flags: strings(&["-buildmode=exe", "-s", "-w", "-buildid=", "-extld=gcc"]),
        imports: vec![planned("a.b/api"), planned("a.b/api/page"), embed, Import::Line(line)],
    };
    assert_eq!(plan, Plan { packages: vec![page, main], link, tools: "linux_amd64".to_owned() });
}

#[test]
fn a_package_may_be_in_the_root() {
    let text = TEXT.replace("/in/api", "/in").replace("./page/", "./api/page/");
    let plan = Plan::parse(&text).unwrap();
    assert_eq!((plan.packages[1].dir.as_str(), &plan.packages[1].files), ("", &strings(&["main.go"])));
}

#[test]
fn what_is_no_plan_is_refused() {
    let refused = |text: &str| Plan::parse(text).unwrap_err();
    assert_eq!(refused(""), "nothing is linked");
    assert_eq!(refused("cat >$WORK/b1/importcfg << 'EOF' # internal\npackagefile a=b\n"), "a file that does not end");
    let elsewhere = TEXT.replace("/in/.run/cache/7a", "/home/7a");
    assert_eq!(refused(&elsewhere), "the line `packagefile embed=/home/7a/7a0e-d`");
    let line = refused(&TEXT.replace("\"/in/api=>", "\"/elsewhere=>"));
    assert!(line.starts_with("the line `/go/pkg/tool/linux_amd64/compile -o $WORK/b001/_pkg_.a"), "{line}");
    let line = refused(&TEXT.replace("/go/pkg", "/other/pkg"));
    assert!(line.starts_with("the line `/other/pkg/tool/linux_amd64/compile"), "{line}");
    let line = refused(&TEXT.replace("-lang=go1.24 -complete", "-pgoprofile=$WORK/b3/pgo -complete"));
    assert!(line.contains("-pgoprofile"), "{line}");
}
