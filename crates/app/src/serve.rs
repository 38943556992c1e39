//! `quorate serve`: settings become a node that lives until it is asked to stop.

use std::io::Write;

use quorate::{End, Server};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::flags::{COMMANDS, SERVE};
use crate::layers::{Layer, Layers};
use crate::settings::Settings;
use crate::stop::Stop;
use crate::{file, huge_pages, logging, memory, open_files, size, stop};

/// Runs the command.
///
/// # Errors
/// The settings are wrong, or the node can't start, or it had to stop by itself.
pub(crate) fn run(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let layers = layers(flags, |name| std::env::var_os(name))?;
    let settings = Settings::check(&layers)?;
    if layers.is_on("print-config")? {
        out.write_all(layers.as_toml().as_bytes())?;
        return Ok(());
    }
    let Settings { server, logging, stop_on_eof } = settings;
    logging::start(logging);
    huge_pages::ask();
    tell_of_strange_variables();
    open_files::make_room(server.connections_max);
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| told(&format!("can't start the runtime: {error}")))?;
    let stop = stop::on_signals(stop_on_eof);
    let stop = stop.map_err(|error| told(&format!("can't listen for signals: {error}")))?;
    LocalSet::new().block_on(&runtime, serve(server, stop))
}

/// Flags > environment > file > defaults.
fn layers(
    flags: Layer,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<Layers, Failure> {
    let env = Layer::of_env(SERVE, variable)?;
    let config = flags.get("config").or(env.get("config"));
    let file = config.map(|name| file::read(SERVE, name)).transpose()?;
    let mut defaults = Layer::of_defaults(SERVE);
    defaults.put("max-memory", size::show(memory::default_limit()));
    let layers = [Some(flags), Some(env), file, Some(defaults)];
    Ok(Layers::new(SERVE, layers.into_iter().flatten().collect()))
}

async fn serve(config: quorate::ServerConfig, mut stop: Stop) -> Result<(), Failure> {
    let (id, dir) = (config.node.id.clone(), config.node.data_dir.display().to_string());
    let env = quorate::env::real::env();
    #[cfg(feature = "failpoints")]
    let env = crate::failpoints::armed(env, &config.node.data_dir)?;
    let server = Server::start(&env, config);
    let server = server.map_err(|error| told(&error.to_string()))?;
    tracing::info!(
        id,
        dir,
        version = env!("CARGO_PKG_VERSION"),
        "listening on {}",
        server.addrs().join(", ")
    );
    match server.run(stop.asked()).await {
        End::ShutDown => {
            drop(server);
            tracing::info!("shut down");
            Ok(())
        }
        End::Stopped(why) => Err(told(&format!("this node had to stop: {why}"))),
    }
}

/// A failure that goes to the log, in its format, and nowhere else.
fn told(text: &str) -> Failure {
    tracing::error!("{text}");
    Failure::Told
}

/// A misspelt variable would go unnoticed otherwise. Kubernetes sets some for a service of our name.
fn tell_of_strange_variables() {
    let known =
        |name: &str| COMMANDS.iter().any(|table| table.flags().any(|flag| table.env(flag) == name));
    let is_strange = |name: &String| {
        name.starts_with(SERVE.env_prefix)
            && !name.starts_with("QUORATE_SERVICE_")
            && !name.starts_with("QUORATE_PORT")
            && !known(name)
    };
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let strange: Vec<String> = names.filter(is_strange).collect();
    if !strange.is_empty() {
        tracing::warn!("not settings of this version, ignored: {}", strange.join(", "));
    }
}
