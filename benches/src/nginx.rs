//! nginx with one static body, as fast as it can be made: one process, no log. It answers from
//! memory, whatever is asked, and from a file at [`FILE`].

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use anyhow::Context;

use crate::cores;
use crate::server::Server;

/// Where the body is served from a file, with nginx's defaults for files.
pub(crate) const FILE: &str = "/answer.json";

/// Starts nginx in `dir`; it answers `body`.
pub(crate) fn start(dir: &Path, body: &[u8]) -> anyhow::Result<Server> {
    let path = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let nginx = path.context(
        "nginx is not installed: run `apt-get install --no-install-recommends nginx-light`",
    )?;
    let address = free_address()?;
    std::fs::write(dir.join(&FILE[1..]), body)?;
    let config = dir.join("nginx.conf");
    std::fs::write(&config, configuration(dir, address, body)?)?;
    let mut command = cores::on_server_core(nginx);
    command.arg("-p").arg(dir).arg("-c").arg(&config);
    Server::start(&mut command, || TcpStream::connect(address).is_ok().then_some(address))
}

fn configuration(dir: &Path, address: SocketAddr, body: &[u8]) -> anyhow::Result<String> {
    let body = str::from_utf8(body)?;
    anyhow::ensure!(!body.contains(['\'', '\\', '$']), "nginx would read more into this body");
    let dir = dir.display();
    Ok(format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\n\
         pid {dir}/nginx.pid;\nerror_log {dir}/nginx-error.log;\n\
         events {{ worker_connections 1024; use epoll; multi_accept on; }}\n\
         http {{\n  access_log off;\n  tcp_nodelay on;\n  keepalive_requests 1000000000;\n  \
         keepalive_timeout 3600;\n  client_body_temp_path {dir}/body;\n  proxy_temp_path {dir}/proxy;\n  \
         fastcgi_temp_path {dir}/fastcgi;\n  uwsgi_temp_path {dir}/uwsgi;\n  scgi_temp_path {dir}/scgi;\n  \
         sendfile on;\n  default_type application/json;\n  server {{\n    listen {address};\n    \
         location = {FILE} {{ root {dir}; }}\n    \
         location / {{ return 200 '{body}'; }}\n  }}\n}}\n"
    ))
}

/// nginx cannot be told to choose a port and say which.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
