//! What a registry asks for, by what is requested: Harbor wants Basic for its catalog and Bearer tokens elsewhere.

use std::fmt;
use std::sync::Arc;

use super::tokens::TokenSource;
use crate::oci::Repository;

/// What a request needs to read, as distribution's token specification writes it.
pub enum Scope {
    /// The list of repositories.
    Catalog,
    /// The content of a repository.
    Pull(Repository),
}

impl Scope {
    /// The repository that is read.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Catalog => None,
            Self::Pull(repository) => Some(repository),
        }
    }

    fn class(&self) -> usize {
        match self {
            Self::Catalog => 0,
            Self::Pull(_) => 1,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog => f.write_str("registry:catalog:*"),
            Self::Pull(repository) => write!(f, "repository:{repository}:pull"),
        }
    }
}

/// How requests are authorized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// With the user's name and password.
    Basic,
    /// With a token of this service.
    Bearer(Arc<TokenSource>),
}

/// The schemes that a registry has asked for.
#[derive(Default)]
pub struct Schemes {
    /// For requests whose own class has met no challenge.
    base: Option<Scheme>,
    classes: [Class; 2],
}

/// The catalog, or the repositories.
#[derive(Default)]
struct Class {
    scheme: Option<Scheme>,
    /// True once a request with that scheme was accepted.
    is_accepted: bool,
}

impl Schemes {
    /// The scheme for a request of a scope.
    pub fn of(&self, scope: &Scope) -> Option<Scheme> {
        self.classes[scope.class()].scheme.clone().or_else(|| self.base.clone())
    }

    /// Notes the challenge of `/v2/`, which counts where no other one was met.
    pub fn challenged_at_base(&mut self, scheme: Scheme) {
        self.base = Some(scheme);
    }

    /// Notes the challenge of a request.
    pub fn challenged(&mut self, scope: &Scope, scheme: Scheme) {
        match (&scheme, self.of(scope)) {
            // A registry that knows tokens may challenge a refused one with Basic: only its success counts.
            (Scheme::Basic, Some(Scheme::Bearer(_))) => return,
            // A token service is rarely one for a part of the registry; a password may be.
            (Scheme::Bearer(_), _) if self.base.is_none() => self.base = Some(scheme.clone()),
            _ => {}
        }
        let class = &mut self.classes[scope.class()];
        if class.scheme.as_ref() != Some(&scheme) {
            *class = Class { scheme: Some(scheme), is_accepted: false };
        }
    }

    /// Notes that a request was accepted, with Basic or with a token. Where both are, tokens are used: a password costs
    /// the registry more.
    pub fn accepted(&mut self, scope: &Scope, is_basic: bool) {
        let has_bearer = matches!(self.of(scope), Some(Scheme::Bearer(_)));
        let class = &mut self.classes[scope.class()];
        match (is_basic, has_bearer) {
            (true, true) if !class.is_accepted => *class = Class { scheme: Some(Scheme::Basic), is_accepted: true },
            (true, false) | (false, true) => class.is_accepted = true,
            _ => {}
        }
    }

    /// The token service whose tokens were accepted for such requests before.
    pub fn accepted_bearer(&self, scope: &Scope) -> Option<Arc<TokenSource>> {
        match self.of(scope) {
            Some(Scheme::Bearer(source)) if self.classes[scope.class()].is_accepted => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer() -> Scheme {
        let realm = "https://r.example/token".parse().unwrap();
        Scheme::Bearer(Arc::new(TokenSource { realm, service: None }))
    }

    #[test]
    fn catalog_and_repositories_have_schemes_of_their_own() {
        let mut schemes = Schemes::default();
        let repository = Scope::Pull("team/app".parse().unwrap());
        schemes.challenged_at_base(bearer());
        // Harbor: no token opens the catalog, and it challenges with Basic.
        schemes.challenged(&Scope::Catalog, Scheme::Basic);
        schemes.accepted(&Scope::Catalog, true);
        assert_eq!((schemes.of(&Scope::Catalog), schemes.of(&repository)), (Some(Scheme::Basic), Some(bearer())));
        // A repository that is refused is challenged with Basic, too, and changes nothing for the others.
        schemes.challenged(&repository, Scheme::Basic);
        assert_eq!(schemes.of(&repository), Some(bearer()));
        assert!(schemes.accepted_bearer(&repository).is_none());
        schemes.accepted(&repository, false);
        schemes.accepted(&repository, true);
        assert!(schemes.accepted_bearer(&repository).is_some());
    }

    #[test]
    fn a_password_for_the_catalog_is_not_sent_to_repositories_that_did_not_ask() {
        let mut schemes = Schemes::default();
        let repository = Scope::Pull("app".parse().unwrap());
        schemes.challenged(&Scope::Catalog, Scheme::Basic);
        assert_eq!(schemes.of(&repository), None);
        schemes.challenged(&repository, bearer());
        assert_eq!((schemes.of(&Scope::Catalog), schemes.of(&repository)), (Some(Scheme::Basic), Some(bearer())));
    }
}
