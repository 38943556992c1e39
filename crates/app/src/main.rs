//! The binary `quorate`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quorate::{End, Entrance, Listen, Server, ServerConfig};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a node.
    Serve {
        #[arg(long)]
        id: String,
        #[arg(long, default_value = "127.0.0.1:7400")]
        listen: String,
        #[arg(long)]
        data_dir: std::path::PathBuf,
        #[arg(long)]
        bootstrap: bool,
        #[arg(long, value_delimiter = ',')]
        join: Vec<String>,
    },
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let Command::Serve { id, listen, data_dir, bootstrap, join } = Cli::parse().command;
    let mut config = ServerConfig::new(id, data_dir);
    config.listeners = vec![Listen::all(listen)];
    config.node.entrance = match bootstrap {
        true => Entrance::Bootstrap,
        false if join.is_empty() => Entrance::Wait,
        false => Entrance::Join(join),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("start the runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let server = match Server::start(&quorate::env::real::env(), config) {
            Ok(server) => server,
            Err(error) => {
                tracing::error!("{error}");
                return ExitCode::FAILURE;
            }
        };
        tracing::info!("listening on {}", server.addrs().join(", "));
        let ended = server
            .run(async {
                use tokio::signal::unix::{SignalKind, signal};
                let mut term = signal(SignalKind::terminate()).expect("signal handler");
                let mut int = signal(SignalKind::interrupt()).expect("signal handler");
                tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            })
            .await;
        match ended {
            End::ShutDown => ExitCode::SUCCESS,
            End::Stopped(why) => {
                tracing::error!("{why}");
                ExitCode::FAILURE
            }
        }
    })
}
