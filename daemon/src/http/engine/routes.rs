//! The route table: how it is written down, and how a request finds its place in it.

use std::sync::LazyLock;

use hallmark_core::excerpt::Excerpt;
use http::Method;
use matchit::Router;
use percent_encoding::percent_decode_str;

use super::access::Access;
use super::error::HttpError;
use super::exchange::Params;
use crate::http::Endpoint;
use crate::http::ROUTES;
use crate::http::StreamEndpoint;
use crate::http::dialect::Dialect;

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Route {
    /// The dialect it belongs to.
    pub dialect: Dialect,
    /// `GET` answers `HEAD` as well.
    pub method: Method,
    /// matchit 0.9 syntax: `{name}` is one segment or the part of it before a `:verb`.
    pub path: &'static str,
    /// The requirement for its use.
    pub access: Access,
    /// The endpoint that answers a whole body.
    pub endpoint: Endpoint,
    /// The endpoint that answers `application/x-ndjson`, if that is read.
    pub(in crate::http) stream: Option<StreamEndpoint>,
    /// True if JSON is read under the content type of forms, which is curl's default.
    pub(in crate::http) reads_forms: bool,
    /// The endpoint that denies a whole body if there is no room to decide, for clients that heed
    /// an answer and may not heed an error.
    pub(in crate::http) denial: Option<Endpoint>,
}

impl Route {
    /// Its paths: Binary Authorization answers `v1beta1` and `v1alpha2` where it answers `v1`,
    /// Container Analysis `v1beta1`, and under the one location that there is.
    fn paths(&self) -> Vec<String> {
        let versions: &[&str] = match self.dialect {
            Dialect::BinaryAuthorization => &["v1", "v1beta1", "v1alpha2"],
            Dialect::ContainerAnalysis => &["v1", "v1beta1"],
            _ => return vec![self.path.to_owned()],
        };
        let rest = self.path.strip_prefix("/v1/").unwrap_or(self.path);
        let mut paths: Vec<_> =
            versions.iter().map(|version| format!("/{version}/{rest}")).collect();
        if self.dialect == Dialect::ContainerAnalysis {
            let located =
                |path: &String| path.replacen("{project}/", "{project}/locations/{location}/", 1);
            paths.extend(paths.iter().map(located).collect::<Vec<_>>());
        }
        paths
    }
}

/// Writes `ROUTES`: per dialect, `METHOD "path" [access] => endpoint;`, where access is a permission,
/// `in_body` and a permission, `authenticated` or `anybody` (see [`Access`]), and an endpoint is an
/// `async fn(&Api, Exchange) -> Result<Answer, HttpError>`, or after `ready` a plain
/// `fn(&Api, &Exchange) -> …` that never waits. A write answers `Written`. After `, ndjson` comes a
/// [`StreamEndpoint`], after `, forms` if JSON is read as a form, too, after `, full` such a plain
/// function for when there is no room.
macro_rules! routes {
    ($($dialect:ident { $($method:ident $path:literal [$($access:ident)+] => $($endpoint:ident)+ $(:: $function:ident)* $(, ndjson $stream:path)? $(, forms $forms:literal)? $(, full $denial:path)?;)* })*) => {
        /// Every route of the API.
        pub static ROUTES: &[$crate::http::engine::routes::Route] = &[$($(
            $crate::http::engine::routes::Route {
                dialect: $crate::http::dialect::Dialect::$dialect,
                method: http::Method::$method,
                path: $path,
                access: $crate::http::engine::routes::access!($($access)+),
                endpoint: $crate::http::engine::routes::endpoint!($($endpoint)+ $(:: $function)*),
                stream: $crate::http::engine::routes::stream!($($stream)?),
                reads_forms: false $(|| $forms)?,
                denial: $crate::http::engine::routes::denial!($($denial)?),
            },
        )*)*];
    };
}
pub(in crate::http) use routes;

macro_rules! access {
    (anybody) => {
        $crate::http::engine::access::Access::Anybody
    };
    (authenticated) => {
        $crate::http::engine::access::Access::Authenticated
    };
    (in_body $permission:ident) => {
        $crate::http::engine::access::Access::HoldsInBody(
            $crate::auth::permission::Permission::$permission,
        )
    };
    ($permission:ident) => {
        $crate::http::engine::access::Access::Holds(
            $crate::auth::permission::Permission::$permission,
        )
    };
}
pub(in crate::http) use access;

macro_rules! endpoint {
    (ready $endpoint:path) => {
        |api, exchange| {
            Box::pin(async move {
                let answered = $endpoint(api, &exchange);
                answered.map($crate::http::engine::exchange::Written::from)
            })
        }
    };
    ($endpoint:path) => {
        |api, exchange| {
            Box::pin(async move {
                let answered = $endpoint(api, exchange).await;
                answered.map($crate::http::engine::exchange::Written::from)
            })
        }
    };
}
pub(in crate::http) use endpoint;

macro_rules! stream {
    () => {
        None
    };
    ($stream:path) => {
        Some($stream)
    };
}
pub(in crate::http) use stream;

macro_rules! denial {
    () => {
        None
    };
    ($denial:path) => {
        Some($crate::http::engine::routes::endpoint!(ready $denial))
    };
}
pub(in crate::http) use denial;

/// The routes that share one path.
type Methods = Vec<&'static Route>;

static ROUTER: LazyLock<Router<Methods>> = LazyLock::new(|| {
    let mut paths: Vec<(String, Methods)> = Vec::new();
    for route in ROUTES {
        for path in route.paths() {
            match paths.iter_mut().find(|(known, _)| *known == path) {
                Some((_, methods)) => methods.push(route),
                None => paths.push((path, vec![route])),
            }
        }
    }
    let mut router = Router::new();
    for (path, methods) in paths {
        router.insert(path, methods).expect("a test inserts every route of the table");
    }
    router
});

/// Finds the route of a request. A path that exists under other methods is 405, any other is 404.
/// A slash at the end is not looked at: Google's documentation writes `notes/?noteId=`.
pub fn find(method: &Method, path: &str) -> Result<(&'static Route, Params), HttpError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let unknown = || HttpError::NotFound(format!("no such path: {}", Excerpt::<128>(path)));
    let found = ROUTER.at(path).map_err(|_| unknown())?;
    let wanted = if method == Method::HEAD { &Method::GET } else { method };
    let Some(route) = found.value.iter().find(|route| route.method == wanted) else {
        let methods = found.value.iter().map(|route| match route.method {
            Method::GET => "GET, HEAD",
            ref method => method.as_str(),
        });
        let allow = methods.collect::<Vec<_>>().join(", ");
        return Err(HttpError::MethodNotAllowed { allow });
    };
    let mut params = Params::default();
    for (name, raw) in found.params.iter() {
        let value = percent_decode_str(raw).decode_utf8().map_err(|_| {
            HttpError::InvalidArgument(format!("`{name}` in the path is not UTF-8 once decoded"))
        })?;
        params.push(name, value.into_owned());
    }
    Ok((route, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_table_is_found_by_its_own_path() {
        for route in ROUTES {
            let path = route.path.replace(['{', '}'], "");
            let (found, _) = find(&route.method, &path).expect(route.path);
            assert_eq!((found.path, &found.method), (route.path, &route.method));
        }
    }

    #[test]
    fn older_versions_locations_and_slashes_lead_to_the_same_route() {
        for (path, route) in [
            ("/v1alpha2/projects/p/policy", "/v1/projects/{project}/policy"),
            ("/v1/projects/p/notes/", "/v1/projects/{project}/notes"),
            ("/v1beta1/projects/p/notes", "/v1/projects/{project}/notes"),
            ("/v1/projects/p/locations/global/notes/n", "/v1/projects/{project}/notes/{note}"),
            (
                "/v1beta1/projects/p/locations/l/occurrences:batchCreate",
                "/v1/projects/{project}/occurrences:batchCreate",
            ),
        ] {
            let method = if route.ends_with("Create") { Method::POST } else { Method::GET };
            assert_eq!(find(&method, path).expect(path).0.path, route);
        }
        for path in ["/v1alpha2/projects/p/notes", "/v1/projects/p/notes//", "/v1//", "/"] {
            assert!(matches!(find(&Method::GET, path), Err(HttpError::NotFound(_))), "{path}");
        }
    }

    /// The rows of `docs/google-api.md` that begin with a method, and what they say of it.
    fn documented() -> Vec<(String, String)> {
        let rows = include_str!("../../../../docs/google-api.md").lines();
        let rows = rows.filter_map(|row| row.strip_prefix("| `")?.split_once("` | "));
        let is_method = |(first, _): &(&str, &str)| {
            let method = first.split(' ').next().unwrap_or_default();
            ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method)
        };
        let rows = rows.filter(is_method);
        rows.map(|(method, answer)| (method.to_owned(), answer.to_owned())).collect()
    }

    #[test]
    fn the_documentation_tells_every_method_of_googles_and_no_other() {
        let google = [Dialect::BinaryAuthorization, Dialect::ContainerAnalysis, Dialect::CloudKms];
        let routes = ROUTES.iter().filter(|route| google.contains(&route.dialect));
        let mut there: Vec<_> = routes
            .map(|route| {
                let segments =
                    route.path.split('/').skip(2).map(|segment| match segment.split_once('}') {
                        Some((_, verb)) => format!("*{verb}"),
                        None => segment.to_owned(),
                    });
                format!("{} {}", route.method, segments.collect::<Vec<_>>().join("/"))
            })
            .collect();
        let documented = documented();
        let told = documented.iter().filter(|(_, answer)| !answer.starts_with("not there"));
        let mut told: Vec<_> = told.map(|(method, _)| method.clone()).collect();
        there.sort();
        told.sort();
        assert_eq!(told, there);
        for (method, _) in documented.iter().filter(|(_, answer)| answer.starts_with("not there")) {
            let (method, path) = method.split_once(' ').expect("a method and a path");
            let path = format!("/v1/{}", path.replace('*', "x"));
            let found = find(&method.parse().expect("a method"), &path);
            assert!(matches!(found, Err(HttpError::NotFound(_))), "{method} {path}");
        }
    }

    #[test]
    fn another_path_is_404_and_another_method_405_with_allow() {
        assert!(matches!(find(&Method::GET, "/v2"), Err(HttpError::NotFound(_))));
        let Err(HttpError::MethodNotAllowed { allow }) = find(&Method::DELETE, "/v1/decisions")
        else {
            panic!("found");
        };
        assert_eq!(allow, "POST");
        let Err(HttpError::MethodNotAllowed { allow }) = find(&Method::PUT, "/livez") else {
            panic!("found");
        };
        assert_eq!(allow, "GET, HEAD");
        find(&Method::HEAD, "/livez").expect("GET answers HEAD");
    }
}
