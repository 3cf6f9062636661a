//! The image and the systemd unit.

use hallmark_tests::daemon::hallmark_offline;

use super::tree::{deploy, read};

#[test]
fn the_image_is_built_with_our_compiler_and_runs_as_nobody() {
    let recipe = read("image/Dockerfile");
    let toolchain: toml::Table = read("../rust-toolchain.toml").parse().expect("TOML");
    let channel = toolchain["toolchain"]["channel"].as_str().expect("a version");
    let (minor, _) = channel.rsplit_once('.').expect("a.b.c");
    assert!(recipe.contains(&format!("rust:{minor}-")), "{channel}");
    assert!(recipe.contains("umask 022") && recipe.contains("--locked"));
    assert!(recipe.contains("/root-fs/usr/lib/hallmark/plugins"));
    // Every plugin of ours, and none that is there to be copied: what lies there is loaded.
    for plugin in std::fs::read_dir(deploy("../plugins")).expect("lists") {
        let name = plugin.expect("a plugin").file_name().into_string().expect("UTF-8");
        let built = recipe.contains(&format!("--package hallmark-plugin-{name} \\"))
            || recipe.contains(&format!("--package hallmark-plugin-{name} --"));
        assert_eq!(built, !name.starts_with("template"), "{name}");
    }
    let last = recipe.rsplit("FROM ").next().expect("a stage");
    assert!(last.contains("USER 65532:65532"), "{last}");
    assert!(last.contains("ENTRYPOINT [\"/usr/bin/hallmark\"]"), "{last}");
}

#[test]
fn flags_of_unit_image_and_manifests_are_those_of_the_daemon() {
    let help = hallmark_offline(&["serve", "--help"]);
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let texts = [
        read("systemd/hallmark.service"),
        read("image/Dockerfile"),
        read("kubernetes/base/deployment.yaml"),
        read("kubernetes/components/data-dir/kustomization.yaml"),
    ];
    let started = |line: &&str| {
        ["ExecStart=", "CMD [", "        - --", "value: --"].iter().any(|it| line.contains(it))
    };
    let mut seen = 0;
    for line in texts.iter().flat_map(|text| text.lines()).filter(started) {
        for word in line.split([' ', '"', ',']).filter(|word| word.starts_with("--")) {
            let flag = word.split('=').next().expect("a flag");
            assert!(help.contains(flag), "{flag}: {line}");
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen}");
}

#[test]
fn the_unit_gives_nothing_away_and_waits_for_the_drain() {
    let unit = read("systemd/hallmark.service");
    for line in [
        "User=hallmark",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=@system-service",
        "UMask=0077",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=always",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let stop: u32 = stop.and_then(|seconds| seconds.parse().ok()).expect("seconds");
    assert!(stop > 20, "limits.drain_timeout_ms is 20 s");
    assert!(read("systemd/hallmark.sysusers").contains("u hallmark "));
    assert!(
        read("systemd/hallmark.tmpfiles").contains("d /var/lib/hallmark 0700 hallmark hallmark")
    );
}
