//! The registry that a walk uses, over HTTP.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::client::HttpRegistry;
use super::list;
use super::{Answer, How, List, Listing, Method, Object, Question, Registry, Trouble};

impl HttpRegistry {
    async fn ask_by(&self, question: &Question, method: Method) -> Result<Answer, Trouble> {
        self.persist(&Arc::new(self.requests.object(question, method))).await.map(|exchanged| exchanged.answer)
    }
}

impl Registry for HttpRegistry {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        let refused = &self.head_refused[usize::from(matches!(question.object, Object::Blob(_)))];
        if question.how != How::Head || refused.load(Ordering::Relaxed) {
            return self.ask_by(question, Method::Get).await;
        }
        let head = self.ask_by(question, Method::Head).await?;
        if !self.may_get_instead_of_head || !head.leaves_get_open() {
            return Ok(head);
        }
        let get = self.ask_by(question, Method::Get).await?;
        // A registry that refuses one HEAD for its form may serve the next one.
        if (200..300).contains(&get.status) && matches!(head.status, 403 | 405 | 501) {
            refused.store(true, Ordering::Relaxed);
        }
        Ok(Answer { exchanges: head.exchanges + get.exchanges, ..get })
    }

    async fn list(&self, list: &List) -> Listing {
        list::read(self, list, None).await
    }

    async fn list_until(&self, list: &List, deadline: Instant) -> Listing {
        list::read(self, list, Some(deadline)).await
    }

    fn has_room(&self) -> bool {
        self.gate.has_room()
    }
}

/// The same registry for the background hasher, which sends one request at a time while sweeps run.
pub struct Background(pub Arc<HttpRegistry>);

impl Registry for Background {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        let request = self.0.requests.object(question, Method::Get).in_background();
        self.0.persist(&Arc::new(request)).await.map(|exchanged| exchanged.answer)
    }

    async fn list(&self, list: &List) -> Listing {
        self.0.list(list).await
    }

    fn has_room(&self) -> bool {
        self.0.has_room()
    }
}
