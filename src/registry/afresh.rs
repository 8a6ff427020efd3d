//! A registry that is asked over connections which carried none of the answers so far.

use tokio::time::Instant;

use super::{Answer, List, Listing, Question, Registry, Trouble};

/// Asks the registry inside over connections that were opened after a moment.
pub struct Afresh<'a, R> {
    /// Who is asked.
    pub registry: &'a R,
    /// The moment.
    pub opened_after: Instant,
}

impl<R: Registry> Registry for Afresh<'_, R> {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        self.registry.ask(&Question { opened_after: Some(self.opened_after), ..question.clone() }).await
    }

    async fn list(&self, list: &List) -> Listing {
        self.registry.list(list).await
    }

    fn has_room(&self) -> bool {
        self.registry.has_room()
    }
}
