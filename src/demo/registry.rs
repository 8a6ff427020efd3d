//! The registry: listener, content and faults.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::api;
use super::auth::{Auth, TokenService};
use super::content::Image;
use super::fault::{Effect, Fault, Selector};
use super::request_log::{LoggedRequest, RequestLog};
use super::route::Route;
use super::store::{Headers, Store};
use super::wire::{Answer, Connection, Request};
use crate::oci::Digest;

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    store: RwLock<Store>,
    settings: RwLock<Settings>,
    faults: RwLock<Vec<Fault>>,
    log: RequestLog,
}

#[derive(Debug)]
struct Settings {
    auth: Auth,
    tokens: Option<TokenService>,
    tags_page: Option<usize>,
}

impl Registry {
    /// An empty registry on a free port of the loopback interface.
    ///
    /// # Errors
    ///
    /// If no port is free.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?)
    }

    /// An empty registry on a listener.
    ///
    /// # Errors
    ///
    /// If the address of the listener cannot be determined.
    pub fn start_on(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            store: RwLock::default(),
            settings: RwLock::new(Settings { auth: Auth::None, tokens: None, tags_page: None }),
            faults: RwLock::default(),
            log: RequestLog::default(),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, address, server: Mutex::new(Some(server)) })
    }

    /// The listen address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes the listener and all connections, so that new connections are refused.
    pub async fn go_down(&self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.abort();
            // The port is closed only after the task has ended.
            let _ = server.await;
        }
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    ///
    /// If the port is in use.
    pub async fn come_back(&self) -> io::Result<()> {
        self.go_down().await;
        let listener = TcpListener::bind(self.address).await?;
        let server = tokio::spawn(accept(listener, Arc::clone(&self.shared)));
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(())
    }

    /// Adds an image as `repository:tag`, or as `repository` without a tag.
    pub fn push(&self, name: &str, image: &Image) {
        let (repository, tag) = split(name);
        self.store_mut().push(repository, tag, image);
    }

    /// Adds a manifest under a digest without checking the digest.
    pub fn put_manifest(&self, repository: &str, digest: &Digest, media_type: &str, bytes: impl Into<Bytes>) {
        self.store_mut().repository_mut(repository).put_manifest(digest, media_type, bytes.into());
    }

    /// Adds a config or layer under a digest without checking the digest.
    pub fn put_blob(&self, repository: &str, digest: &Digest, bytes: impl Into<Bytes>) {
        self.store_mut().repository_mut(repository).put_blob(digest, bytes.into());
    }

    /// Adds an empty repository: the catalog lists it, and its tag list answers 404.
    pub fn add_empty_repository(&self, name: &str) {
        self.store_mut().repository_mut(name);
    }

    /// Adds a tag (`repository:tag`) that is listed but answers 404.
    pub fn add_dangling_tag(&self, name: &str) {
        let (repository, tag) = split(name);
        self.store_mut().repository_mut(repository).tag(tag.unwrap_or("latest"), None);
    }

    /// Points a tag (`repository:tag`) to a manifest, which need not exist.
    pub fn retag(&self, name: &str, target: &Digest) {
        let (repository, tag) = split(name);
        self.store_mut().repository_mut(repository).tag(tag.unwrap_or("latest"), Some(target.clone()));
    }

    /// Removes a tag (`repository:tag`) but not its manifest.
    pub fn delete_tag(&self, name: &str) {
        let (repository, tag) = split(name);
        if let (Some(tag), Some(tags)) = (tag, &mut self.store_mut().repository_mut(repository).tags) {
            tags.remove(tag);
        }
    }

    /// Removes a manifest but not the tags and indexes that refer to it.
    pub fn remove_manifest(&self, repository: &str, digest: &Digest) {
        self.store_mut().repository_mut(repository).manifests.remove(digest);
    }

    /// Removes a config or layer but not the manifests that refer to it.
    pub fn remove_blob(&self, repository: &str, digest: &Digest) {
        self.store_mut().repository_mut(repository).blobs.remove(digest);
    }

    /// Replaces the content of an object.
    pub fn replace(&self, repository: &str, digest: &Digest, bytes: impl Into<Bytes>, headers: Headers) {
        self.store_mut().repository_mut(repository).replace(digest, &bytes.into(), headers);
    }

    /// Requires authentication from now on.
    pub fn require(&self, auth: Auth) {
        let mut settings = self.shared.settings_mut();
        if let Some(tokens) = auth.own_tokens() {
            settings.tokens = Some(tokens.clone());
        }
        settings.auth = auth;
    }

    /// Issues tokens at `/token` for another registry.
    pub fn issue(&self, tokens: &TokenService) {
        self.shared.settings_mut().tokens = Some(tokens.clone());
    }

    /// Maximum page size of tag lists, as in distribution 3.1. By default they are not paged.
    pub fn page_tags_by(&self, count: usize) {
        self.shared.settings_mut().tags_page = Some(count);
    }

    /// Injects a fault: from now on, the effect applies to the selected requests.
    pub fn fault(&self, selector: Selector, effect: Effect) -> Fault {
        let fault = Fault::new(selector, effect);
        self.shared.faults.write().unwrap_or_else(PoisonError::into_inner).push(fault.clone());
        fault
    }

    /// The requests since the start or since they were cleared, oldest first; at most the last 100,000.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.log.requests()
    }

    /// Number of requests since the start or since they were cleared.
    pub fn request_count(&self) -> usize {
        self.shared.log.total()
    }

    /// Number of connections since the start.
    pub fn connection_count(&self) -> usize {
        self.shared.log.connections()
    }

    /// Maximum number of concurrent requests that waited for the first byte of a response.
    pub fn most_in_flight(&self) -> usize {
        self.shared.log.most_in_flight()
    }

    /// Clears the request log.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    fn store_mut(&self) -> RwLockWriteGuard<'_, Store> {
        self.shared.store.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() {
            server.abort();
        }
    }
}

/// Splits `repository:tag`; the tag is optional.
fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once(':').map_or((name, None), |(repository, tag)| (repository, Some(tag)))
}

/// Accepts connections until it is aborted, which also aborts the connections.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&shared)))),
                // Most likely no file descriptor is left until other connections end.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. Socket errors end only this connection.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    shared.log.count_connection();
    let mut connection = Connection::new(stream);
    while let Ok(Some(request)) = connection.read_request().await {
        let in_flight = shared.log.enter();
        let (is_head, is_last) = (request.is_head(), request.wants_close());
        let answer = shared.answer(request);
        tokio::time::sleep(answer.delay).await;
        // A client that has read the response may send the next request before this task continues.
        if !answer.is_silent() {
            drop(in_flight);
        }
        match connection.send(&answer, is_head).await {
            Ok(Some(next)) if !is_last => connection = next,
            _ => return,
        }
    }
}

impl Shared {
    fn answer(&self, mut request: Request) -> Answer {
        let faults: Vec<Fault> = {
            let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
            faults.iter().filter(|fault| fault.strikes_at(&request)).cloned().collect()
        };
        let asked = request.clone();
        for fault in &faults {
            fault.rewrite(&mut request);
        }
        let mut answer = self.proper_answer(&request);
        for fault in &faults {
            fault.spoil(&request, &mut answer);
        }
        self.log.record(&asked, &answer);
        answer
    }

    fn proper_answer(&self, request: &Request) -> Answer {
        let settings = self.settings();
        match (&request.route, &settings.tokens) {
            (Route::Token, Some(tokens)) => tokens.issue(request),
            _ => settings.auth.refusal(request).unwrap_or_else(|| {
                let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
                let mut answer = api::answer(&store, settings.tags_page, request);
                settings.auth.conceal(request, &mut answer);
                answer
            }),
        }
    }

    fn settings(&self) -> RwLockReadGuard<'_, Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings_mut(&self) -> RwLockWriteGuard<'_, Settings> {
        self.settings.write().unwrap_or_else(PoisonError::into_inner)
    }
}
