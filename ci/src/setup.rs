//! `cargo ci setup`: installs kcat, strace, a JVM and Maven from Debian, the Python clients into a virtual
//! environment and Apache Kafka's jars into the target folder. Done twice it does nothing the second time.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace;

/// Debian packages by the program that shows they are there.
const DEBIAN_PACKAGES: [(&str, &str); 6] = [
    ("kcat", "kcat"),
    ("strace", "strace"),
    ("java", "default-jre-headless"),
    ("mvn", "maven"),
    ("python3", "python3"),
    // The virtual environment's seed of pip comes in a package of its own, with no program to look for.
    ("/usr/share/python-wheels", "python3-venv"),
];

/// A download may be slow; a hang is not.
const INSTALL_DEADLINE: Duration = Duration::from_secs(900);

/// Installs what is missing.
pub(crate) fn run() -> Result<()> {
    install_debian_packages()?;
    install_python_clients()?;
    install_kafka()
}

fn install_debian_packages() -> Result<()> {
    let missing: Vec<&str> =
        DEBIAN_PACKAGES.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        println!("Debian packages: present");
        return Ok(());
    }
    println!("Debian packages: installing {}", missing.join(" "));
    step(Command::new("apt-get").args(["update", "-q"])).context("apt-get update")?;
    let mut install = Command::new("apt-get");
    install
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-q", "-y", "--no-install-recommends"])
        .args(&missing);
    step(&mut install).with_context(|| format!("apt-get install {}", missing.join(" ")))
}

fn is_installed(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    let Some(path) = std::env::var_os("PATH") else {
        return false;
    };
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn install_python_clients() -> Result<()> {
    let requirements = workspace::own_file("clients/requirements.txt");
    let wanted = fs::read_to_string(&requirements).context("the pinned Python clients")?;
    let venv = workspace::clients_venv();
    let stamp = venv.join("installed-requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("Python clients: present");
        return Ok(());
    }
    println!("Python clients: installing");
    step(Command::new("python3").args(["-m", "venv"]).arg(&venv)).context("creating the virtual environment")?;
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    step(&mut pip).context("installing the Python clients")?;
    fs::write(stamp, wanted).context("noting what is installed")
}

fn install_kafka() -> Result<()> {
    let jars = workspace::kafka_jars();
    let pom = workspace::own_file("kafka/pom.xml");
    let wanted = fs::read_to_string(&pom).context("the list of jars")?;
    let stamp = jars.with_file_name("installed-pom.xml");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("Apache Kafka: present");
        return Ok(());
    }
    println!("Apache Kafka: installing");
    fs::create_dir_all(&jars)?;
    let mut maven = Command::new("mvn");
    maven
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", jars.display()));
    step(&mut maven).context("fetching the jars")?;
    archive_classes().context("archiving the classes of the tools")?;
    fs::write(stamp, wanted).context("noting what is installed")
}

/// One tool is run once to write the archive of loaded classes; later starts take a third of the time.
fn archive_classes() -> Result<()> {
    let mut java = crate::clients::java::virtual_machine();
    java.arg("-Xlog:cds=off,cds+dynamic=off")
        .arg(format!("-XX:ArchiveClassesAtExit={}", workspace::kafka_class_archive().display()))
        .arg("-cp")
        .arg(crate::clients::java::class_path())
        .args(["org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", "127.0.0.1:1"])
        .args(["--command-config"])
        .arg(workspace::own_file("kafka/impatient-admin.properties"));
    // The tool fails, since nobody listens there, after it has loaded what every tool loads.
    process::run(&mut java, &[], INSTALL_DEADLINE).map(drop)
}

fn step(command: &mut Command) -> Result<()> {
    process::run(command, &[], INSTALL_DEADLINE)?.success().map(drop)
}
