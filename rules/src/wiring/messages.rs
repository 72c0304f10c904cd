//! What wiring says when things do not fit.

use std::collections::BTreeMap;

use super::resources::Resource;
use super::{Argument, Offer, Part, export_names};
use crate::diagnostic::{Diagnostic, suggest};
use crate::step::compare::split_version;
use crate::step::interface::ExternName;

pub(super) fn ambiguous(part: &Part<'_>, import: &ExternName, offers: &[Offer<'_>]) -> Diagnostic {
    let names: Vec<String> = offers.iter().map(|offer| format!("`{}`", offer.part.name)).collect();
    let message = format!("`{}` imports `{import}`, which {} of its dependencies export", part.name, offers.len());
    Diagnostic::error("ambiguous-import", message)
        .note(format!("they are {}", names.join(", ")))
        .help("depend on one of them only, or say which is meant in a `.wac` script")
}

pub(super) fn unsatisfied(
    part: &Part<'_>,
    import: &ExternName,
    providers: &[&Part<'_>],
    all: &BTreeMap<&str, &Part<'_>>,
) -> Diagnostic {
    let message = format!("nothing that `{}` depends on exports `{import}`, which it imports", part.name);
    let mut diagnostic = Diagnostic::error("unsatisfied-import", message);
    for provider in providers {
        diagnostic = diagnostic.note(format!("`{}` exports {}", provider.name, listed(&export_names(provider))));
    }
    let offered: Vec<(&str, ExternName)> = providers
        .iter()
        .flat_map(|provider| export_names(provider).into_iter().map(|name| (provider.name, name)))
        .collect();
    let (base, version) = split_version(import.as_str());
    if let Some((provider, other)) = offered.iter().find(|(_, name)| name.base() == base) {
        let written = |version: Option<semver::Version>| {
            version.map_or("no version".to_owned(), |version| format!("version {version}"))
        };
        let (ours, theirs) = (written(version), written(split_version(other.as_str()).1));
        return diagnostic
            .note(format!(
                "`{}` wants {ours}, `{provider}` has {theirs}, and these can't stand in for each other",
                part.name
            ))
            .help("bring both to one version");
    }
    if let Some(other) = all.values().find(|other| other.name != part.name && Offer::of(other, import).is_some()) {
        return diagnostic.help(format!("`{}` exports it: add it to the `depends` of `{}`", other.name, part.name));
    }
    if let Some(close) = suggest(import.as_str(), offered.iter().map(|(_, name)| name.as_str())) {
        return diagnostic.help(format!("did you mean `{close}`?"));
    }
    diagnostic.help(format!("add a target that exports `{import}` to the `depends` of `{}`", part.name))
}

pub(super) fn split(
    part: &Part<'_>,
    argument: &Argument,
    resource: &Resource,
    ours: Option<&str>,
    theirs: Option<&str>,
) -> Diagnostic {
    let Resource { interface, name } = resource;
    let from = |source: Option<&str>| source.map_or("the host".to_owned(), |name| format!("`{name}`"));
    let message =
        format!("resource `{name}` of `{interface}` reaches `{}` from two places, as two different types", part.name);
    Diagnostic::error("split-resource", message)
        .note(format!("`{}` takes `{interface}` from {}", part.name, from(ours)))
        .note(format!(
            "`{}` takes `{}` from `{}`, which has the resource from {}",
            part.name,
            argument.import,
            argument.instance,
            from(theirs)
        ))
        .help(match theirs {
            Some(provider) => {
                format!("let `{}` take `{interface}` from `{provider}` too: name it in `depends`", part.name)
            }
            None => format!(
                "let `{}` take `{interface}` from the same place: give both the same `depends`",
                argument.instance
            ),
        })
}

pub(super) fn hidden(root: &Part<'_>, function: &ExternName, resource: &Resource, provider: &str) -> Diagnostic {
    let Resource { interface, name } = resource;
    let message =
        format!("`{}` exports the function `{function}`, whose type names a resource that stays inside", root.name);
    Diagnostic::error("hidden-resource", message)
        .note(format!("resource `{name}` of `{interface}` comes from `{provider}`, and nothing exports it from here"))
        .help(format!("export an interface that uses `{name}` and holds `{function}`, instead of the function alone"))
}

pub(super) fn listed(names: &[ExternName]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
