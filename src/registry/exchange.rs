//! One exchange: paced, authorized, redirected, its body read within the request's time.

use std::time::SystemTime;

use http::header::{CONTENT_LENGTH, HeaderValue, RETRY_AFTER};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::auth::requests::Requests;
use super::client::HttpRegistry;
use super::headers::retry_after;
use super::pacing::gate::Outcome;
use super::request::Request;
use super::response::{Exchanged, header, number};
use super::transport::Response;
use super::{Body, Trouble};
use crate::report::Cause;

impl HttpRegistry {
    /// Sends a request once, when its turn has come.
    pub(super) async fn exchange(&self, request: &Request) -> Result<Box<Exchanged>, Trouble> {
        // A blob may take hours: no request of a sweep waits for that, unless only one may be in flight.
        let permit = if request.is_background && self.has_background_permit {
            self.gate.enter_beside().await
        } else {
            self.gate.enter().await
        };
        let result = self.in_time(request).await;
        // The pool takes a connection back in a task of its own: a request that starts first would open another.
        tokio::task::yield_now().await;
        let outcome = match &result {
            Ok(exchanged) => match exchanged.answer.status {
                _ if exchanged.answer.is_throttled() => Outcome::Throttled,
                500.. => Outcome::Struggled,
                _ => Outcome::Answered,
            },
            Err(trouble) => match trouble.cause {
                Cause::RateLimited => Outcome::Throttled,
                Cause::Incomplete | Cause::Unauthorized | Cause::Protocol => Outcome::Answered,
                Cause::Unreachable | Cause::Timeout | Cause::ServerError => Outcome::Struggled,
            },
        };
        let was_long = result.as_ref().is_ok_and(|exchanged| matches!(exchanged.answer.body, Body::Hashed { .. }));
        if (request.is_of_content() || was_long) && outcome == Outcome::Answered {
            // The time of a blob shows its length, not the registry's load.
            drop(permit);
        } else {
            permit.done(outcome);
            self.traffic.set_concurrency(self.gate.limit());
        }
        if let Ok(exchanged) = &result
            && (exchanged.answer.status == 503 || exchanged.answer.is_throttled())
            && let Some(wait) = header(&exchanged.headers, &RETRY_AFTER)
            && let Some(wait) = retry_after(wait, SystemTime::now())
        {
            self.gate.pause(wait);
        }
        result
    }

    /// The request's time limits the entire exchange, except a body that is hashed: that may take as long as it keeps coming.
    async fn in_time(&self, request: &Request) -> Result<Box<Exchanged>, Trouble> {
        self.authenticator.introduce(&request.scope, &Requests(self)).await?;
        let deadline = Instant::now() + self.request_timeout;
        let late = |_: Elapsed| {
            let took = humantime::format_duration(self.request_timeout);
            Trouble::new(Cause::Timeout, format!("{} had no complete response in {took}", request.method.as_str()))
        };
        let response = timeout_at(deadline, self.authorized(request)).await.map_err(late)??;
        let length = number(&response.headers, &CONTENT_LENGTH);
        let reading = request.wanted.reading(length, self.limits.unranged_bytes);
        if reading.is_some_and(|reading| reading.is_long) {
            return self.read(request, reading, response).await;
        }
        timeout_at(deadline, self.read(request, reading, response)).await.map_err(late)?
    }

    async fn authorized(&self, request: &Request) -> Result<Box<Response>, Trouble> {
        let requests = Requests(self);
        let authorization = self.authenticator.authorize(&request.scope, &requests).await?;
        let response = self.redirected(request, authorization.as_ref()).await?;
        // A challenge of another host, to which a redirect led, is not answered.
        if response.status == 401
            && response.redirected_to.is_none()
            && let Some(other) =
                self.authenticator.answer(&response.headers, &request.scope, authorization.as_ref(), &requests).await?
        {
            response.payload.drain().await;
            let response = self.redirected(request, Some(&other)).await?;
            self.note_accepted(request, &response, Some(&other));
            return Ok(response);
        }
        self.note_accepted(request, &response, authorization.as_ref());
        Ok(response)
    }

    fn note_accepted(&self, request: &Request, response: &Response, authorization: Option<&HeaderValue>) {
        if let Some(authorization) = authorization.filter(|_| response.status != 401 && response.status < 500) {
            self.authenticator.accepted(&request.scope, authorization);
        }
    }
}
