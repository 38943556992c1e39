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
use crate::{advice, file, huge_pages, joining, logging, memory, open_files, progress, size, stop};

/// Runs the command.
///
/// # Errors
/// The settings are wrong, or the node can't start, or it had to stop by itself.
pub(crate) fn run(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let given = flags.clone();
    let layers = layers(flags, |name| std::env::var_os(name))?;
    let settings = Settings::check(&layers)?;
    if layers.is_on("print-config")? {
        out.write_all(layers.as_toml().as_bytes())?;
        return Ok(());
    }
    let Settings { server, logging, stop_on_eof } = settings;
    #[cfg(debug_assertions)]
    let server = fake_formats(server)?;
    let refilter = logging::start(logging);
    huge_pages::ask();
    tell_of_strange_variables();
    open_files::make_room(server.connections_max);
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| told(&format!("can't start the runtime: {error}")))?;
    let reload = Box::new(move || reload(&given, &refilter));
    let stop = stop::on_signals(stop_on_eof, Some(reload));
    let stop = stop.map_err(|error| told(&format!("can't listen for signals: {error}")))?;
    LocalSet::new().block_on(&runtime, serve(server, stop))
}

/// SIGHUP: reads the settings again and puts the log level into force. What is wrong changes nothing.
fn reload(flags: &Layer, refilter: &logging::Refilter) {
    let read = layers(flags.clone(), |name| std::env::var_os(name));
    let read = read.and_then(|layers| Settings::check(&layers).map(|settings| (layers, settings)));
    let outcome = read.map_err(|failure| failure.to_string()).and_then(|(layers, settings)| {
        refilter(settings.logging.filter).map_err(|error| error.to_string())?;
        Ok(layers.get("log-level").map(|given| given.text.to_owned()).unwrap_or_default())
    });
    match outcome {
        Ok(level) => {
            tracing::info!("SIGHUP: the log level is {level}; other settings need a restart");
        }
        Err(why) => tracing::error!("SIGHUP: nothing was changed: {why}"),
    }
}

/// A test build can pretend to be of another version, which works with other cluster formats: `1-2` in
/// this variable. Release builds know nothing of it.
#[cfg(debug_assertions)]
fn fake_formats(mut server: quorate::ServerConfig) -> Result<quorate::ServerConfig, Failure> {
    if let Ok(text) = std::env::var(FAKE_FORMATS) {
        let range = text.split_once('-').and_then(|(lowest, highest)| {
            Some(quorate::Formats { lowest: lowest.parse().ok()?, highest: highest.parse().ok()? })
        });
        server.node.formats =
            range.ok_or_else(|| Failure::usage(format!("{FAKE_FORMATS} is {text:?}, not 1-2")))?;
    }
    Ok(server)
}

#[cfg(debug_assertions)]
const FAKE_FORMATS: &str = "QUORATE_TEST_FORMATS";

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
    let server = server.map_err(|error| told(&advice::on(&error)))?;
    tracing::info!(
        id,
        dir,
        version = env!("CARGO_PKG_VERSION"),
        "listening on {}",
        server.addrs().join(", ")
    );
    if progress::is_shown() {
        env.tasks.spawn(Box::pin(joining::show(env.clone(), server.api())));
    }
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
    let known = |name: &str| {
        COMMANDS.iter().any(|table| {
            let mut flags = table.flags().filter(|flag| !flag.on_command_line_only);
            flags.any(|flag| table.env(flag) == name)
        })
    };
    let is_strange = |name: &String| {
        name.starts_with(SERVE.env_prefix)
            && !name.starts_with("QUORATE_SERVICE_")
            && !name.starts_with("QUORATE_PORT")
            && !name.starts_with("QUORATE_TEST_")
            && !known(name)
    };
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let strange: Vec<String> = names.filter(is_strange).collect();
    if !strange.is_empty() {
        tracing::warn!("not settings of this version, ignored: {}", strange.join(", "));
    }
}
