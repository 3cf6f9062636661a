//! The rights that a worker process gives up before it loads a plugin.
//!
//! The plugin is a stranger, and runs with the rights of the daemon unless it is given a user of
//! its own. So the process leaves the session of the daemon, lets go of root's capabilities, closes
//! its memory to others, and may no longer call what reaches out for another process. The filter
//! lists what is denied: modules of tokens and other runtimes need too much to list what is
//! permitted. Which files it may open is said in the configuration, since nobody else knows what a
//! token needs. `docs/security.md` says what remains.

use std::collections::BTreeMap;
use std::io;

use landlock::{
    ABI, Access, AccessFs, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, sock_filter,
};

use super::WorkerFiles;

/// Files that a worker may have open: sessions of a token, a few sockets.
const FILES: u64 = 1_024;

/// Confines this thread and those that it will start.
pub(super) fn confine() -> io::Result<()> {
    // It ends with the daemon: who stops all processes of a service stops that one first.
    for number in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: no handler is given, so none runs.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
    // Neither a terminal nor a process group of the daemon's.
    rustix::process::setsid()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    rustix::thread::set_name(c"hallmark-plugin")?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, FILES)?;
    drop_capabilities()?;
    // Other workers of the same user neither read nor write its memory.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    deny_reaching_out()
}

/// Bounds a resource; never above what it was bounded to before.
pub(super) fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let most = Some(most.min(now));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: most, maximum: most })?)
}

/// Lets go of all capabilities, for good: a daemon that runs as root has all of them.
fn drop_capabilities() -> io::Result<()> {
    for capability in 0..64_u64 {
        // SAFETY: takes a number and touches no memory. Above the last capability, and without
        // the right to, it is an error, and there is nothing to drop.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, none)?)
}

/// Leaves what Landlock can: no signals to others, and of files only those that are given. A kernel
/// without it sends signals as before, and is refused where files are given.
pub(super) fn fence(files: Option<&WorkerFiles>) -> io::Result<()> {
    let status = fenced(files).map_err(io::Error::other)?;
    if files.is_some() && status.ruleset == RulesetStatus::NotEnforced {
        return Err(io::Error::other("this kernel has no Landlock to bound the files of a plugin"));
    }
    Ok(())
}

fn fenced(files: Option<&WorkerFiles>) -> Result<RestrictionStatus, RulesetError> {
    let ruleset = Ruleset::default().scope(Scope::Signal)?;
    let Some(files) = files else { return ruleset.create()?.restrict_self() };
    let (all, read) = (AccessFs::from_all(ABI::V6), AccessFs::ReadFile | AccessFs::ReadDir);
    let write = all & !AccessFs::Execute;
    ruleset
        .handle_access(all)?
        .scope(Scope::AbstractUnixSocket)?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(&files.read, read))?
        .add_rules(path_beneath_rules(["/dev/null"], write))?
        .add_rules(path_beneath_rules(&files.write, write))?
        .restrict_self()
}

/// Paths that libraries read of a system: themselves, names, times, certificates, random numbers.
const SYSTEM: [&str; 21] = [
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/pkcs11",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
    "/proc",
    "/sys/devices/system/cpu",
];

/// Makes the system calls that act upon other processes fail with EPERM. A kernel without seccomp
/// permits them still.
fn deny_reaching_out() -> io::Result<()> {
    let Ok(arch) = std::env::consts::ARCH.try_into() else { return Ok(()) };
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let filter = rules().and_then(|rules| {
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, arch)?;
        BpfProgram::try_from(filter)
    });
    let filter = [by_number(), filter.map_err(io::Error::other)?].concat();
    match seccompiler::apply_filter(&filter) {
        Ok(()) => Ok(()),
        Err(seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error))
            if error.raw_os_error() == Some(libc::EINVAL) =>
        {
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Denies what no rule can: `clone3`, whose flags lie in memory, and the calls of x32, which are
/// those of x86-64 by other numbers. C libraries take `clone` for a `clone3` that is not there.
fn by_number() -> BpfProgram {
    let refuse = |errno: i32| libc::SECCOMP_RET_ERRNO | errno as u32;
    let instruction = |code: u32, jf, k| sock_filter { code: code as u16, jt: 0, jf, k };
    let mut program = vec![
        // The number is the first of what a filter sees.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_clone3 as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, refuse(libc::ENOSYS)),
    ];
    if cfg!(target_arch = "x86_64") {
        program.extend([
            instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, X32_SYSCALL_BIT),
            instruction(libc::BPF_RET | libc::BPF_K, 0, refuse(libc::EPERM)),
        ]);
    }
    program
}

/// `arch/x86/include/uapi/asm/unistd.h`.
const X32_SYSCALL_BIT: u32 = 0x4000_0000;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules() -> Result<Rules, seccompiler::BackendError> {
    let own = u64::from(std::process::id());
    let mut rules = Rules::new();
    for call in ALWAYS {
        rules.insert(call, Vec::new());
    }
    // Signals to itself are how it aborts, and how runtimes stop their threads.
    for call in OF_ITSELF {
        rules.insert(call, vec![rule([arg(0, Op::Ne, own)])?]);
    }
    for call in OF_ITSELF_OR_NOBODY {
        rules.insert(call, vec![rule([arg(0, Op::Ne, 0), arg(0, Op::Ne, own)])?]);
    }
    // Of this thread; not of a group, nor of all processes of its user.
    let priorities =
        [(libc::SYS_setpriority, PRIO_PROCESS), (libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS)];
    for (call, process) in priorities {
        rules.insert(call, vec![rule([arg(0, Op::Ne, process)])?, rule([arg(1, Op::Ne, 0)])?]);
    }
    // In namespaces of its own it would have every capability again.
    let namespaces = NAMESPACES.map(|flag| rule([arg(0, Op::MaskedEq(flag), flag)]));
    rules.insert(libc::SYS_clone, namespaces.into_iter().collect::<Result<_, _>>()?);
    // Who owns a descriptor is sent a signal of choice.
    let is = |nth, value: i64| arg(nth, Op::Eq, value as u64);
    let fcntl = [
        rule([is(1, i64::from(libc::F_SETOWN)), arg(2, Op::Ne, own)])?,
        rule([is(1, F_SETOWN_EX)])?,
    ];
    rules.insert(libc::SYS_fcntl, fcntl.into());
    let ioctl = [FIOSETOWN, SIOCSPGRP, TIOCSTI];
    let ioctl = ioctl.into_iter().map(|request| rule([is(1, request)]));
    rules.insert(libc::SYS_ioctl, ioctl.collect::<Result<_, _>>()?);
    // It ends with the daemon, and stays closed.
    let prctl = [libc::PR_SET_PDEATHSIG, libc::PR_SET_DUMPABLE];
    let prctl = prctl.into_iter().map(|option| rule([is(0, i64::from(option))]));
    rules.insert(libc::SYS_prctl, prctl.collect::<Result<_, _>>()?);
    Ok(rules)
}

/// Calls that act upon another process only, or leave the process group that is killed as a whole.
const ALWAYS: [i64; 22] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    // By the number of a thread alone, which may be anybody's. C libraries use `tgkill`.
    libc::SYS_tkill,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_bpf,
    // Its requests are calls that no filter sees.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];

/// Calls that name a process first, and may name their own.
const OF_ITSELF: [i64; 5] = [
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
];

/// Calls that name a process or thread first, and their own by 0.
const OF_ITSELF_OR_NOBODY: [i64; 7] = [
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
];

/// `include/uapi/linux/resource.h` and `ioprio.h`.
const PRIO_PROCESS: u64 = 0;
const IOPRIO_WHO_PROCESS: u64 = 1;

/// The flags of `clone` that make a namespace, `include/uapi/linux/sched.h`: mounts, control groups,
/// names of the host, System V IPC, users, processes, network.
const NAMESPACES: [u64; 7] =
    [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

/// `include/uapi/asm-generic/fcntl.h`, `ioctls.h` and `sockios.h`.
const F_SETOWN_EX: i64 = 15;
const FIOSETOWN: i64 = 0x8901;
const SIOCSPGRP: i64 = 0x8902;
const TIOCSTI: i64 = 0x5412;

/// A condition on an argument, of which the kernel looks at the lower half.
fn arg(nth: u8, op: Op, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(nth, Len::Dword, op, value)
}

/// Matches where all conditions do.
fn rule<const N: usize>(
    conditions: [Result<SeccompCondition, seccompiler::BackendError>; N],
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?)
}
