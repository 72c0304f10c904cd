//! Names of WIT in the styles of other languages.

/// `incoming-handler` → `incomingHandler`.
#[must_use]
pub fn camel(kebab: &str) -> String {
    let pascal = pascal(kebab);
    let mut characters = pascal.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// `incoming-handler` → `IncomingHandler`.
#[must_use]
pub fn pascal(kebab: &str) -> String {
    let capital = |word: &str| {
        let lower = word.to_lowercase();
        let mut characters = lower.chars();
        characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
    };
    kebab.split('-').map(capital).collect()
}

/// `incoming-handler` → `incoming_handler`.
#[must_use]
pub fn snake(kebab: &str) -> String {
    kebab.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_in_each_style() {
        let all = |name| (camel(name), pascal(name), snake(name));
        let owned = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(all("incoming-handler"), owned("incomingHandler", "IncomingHandler", "incoming_handler"));
        assert_eq!(all("HTTP-get2"), owned("httpGet2", "HttpGet2", "http_get2"));
    }
}
