# shellcheck shell=bash
# A real Slurm on one machine for the tests beside it; to be sourced. Everything lies in one folder: munge's key and socket, ports
# that were free, the state. Needs root (slurmd starts jobs), slurmctld, slurmd and munged; nothing of a Slurm that is
# already here is touched, and two of these can stand side by side.
#
#   cluster_start DIR NODES CPUS    -> SLURM_CONF; nodes n1 .. nNODES, each with a host name of its own, so that an owner
#                                      file of one node is another machine's to the next
#   cluster_kill NODE               the node's daemon and all its processes die at once (kill -9), as in a power cut
#   node_start NODE                 ... and it comes back
#   cluster_stop                    ends what was started, by number
# Two settings are for tests only: cred_expire (a requeued job waits so many seconds; 120 otherwise) and SlurmdTimeout.

cluster_missing() { # prints what is not there, nothing when all is
    for p in slurmctld slurmd sbatch scontrol squeue munged; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$p" >/dev/null 2>&1 || echo "$p is not installed"
    done
    if [ "$(id -u)" != 0 ]; then echo "not root"
    elif ! unshare -u true 2>/dev/null; then echo "no second host name can be had here (unshare -u)"; fi
}

# N free TCP ports, each on its own line. The kernel names them and they are closed again: somebody else may take one
# meanwhile, so cluster_start tries again when a daemon does not come up.
free_ports() {
    perl -MIO::Socket::INET -e 'my @s = map { IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => 0)
        or die "no port: $!\n" } 1 .. $ARGV[0]; print $_->sockport, "\n" for @s;' "$1"
}

cluster_conf() { # PORT...
    cat <<CONF
ClusterName=one
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$cluster/munge.sock,cred_expire=${CRED_EXPIRE:-5}
CredType=cred/munge
MpiDefault=none
ReturnToService=2
SlurmctldPort=$1
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.%n.pid
SlurmctldLogFile=$cluster/log/slurmctld.log
SlurmdLogFile=$cluster/log/slurmd.%n.log
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool.%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
KillWait=5
MinJobAge=3600
SlurmdTimeout=${SLURMD_TIMEOUT:-300}
MaxArraySize=${MAX_ARRAY_SIZE:-1001}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
CONF
    i=1
    while [ $i -le "$cluster_nodes" ]; do
        shift
        echo "NodeName=n$i NodeHostname=localhost NodeAddr=127.0.0.1 Port=$1 CPUs=$cluster_cpus RealMemory=1000 State=UNKNOWN"
        i=$((i + 1))
    done
    echo "PartitionName=low Nodes=n[1-$cluster_nodes] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=3"
    echo "PartitionName=high Nodes=n[1-$cluster_nodes] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF"
}

alive() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

wait_for() { # SECONDS COMMAND...: until it succeeds
    wait_left=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $wait_left -gt 0 ] || return 1
        wait_left=$((wait_left - 1))
        sleep 0.2
    done
}

node_start() { # NODE
    # exec all the way: the number is the daemon's
    # shellcheck disable=SC2016
    setsid unshare -u sh -c 'hostname "$1"; exec slurmd -N "$1" -D -f "$SLURM_CONF"' sh "$1" >"$cluster/log/$1.out" 2>&1 &
    eval "cluster_pid_$1=$!"
}

cluster_up() { # all nodes idle
    [ "$(sinfo -h -p low -t idle -o %D 2>/dev/null)" = "$cluster_nodes" ]
}

cluster_try() {
    # shellcheck disable=SC2046
    cluster_conf $(free_ports $((cluster_nodes + 1))) >"$SLURM_CONF" || return 1
    setsid slurmctld -D -f "$SLURM_CONF" >"$cluster/log/ctld.out" 2>&1 &
    cluster_pid_ctld=$!
    wait_for 15 scontrol ping || return 1
    i=1
    while [ $i -le "$cluster_nodes" ]; do
        node_start "n$i"
        i=$((i + 1))
    done
    wait_for 20 cluster_up
}

cluster_start() { # DIR NODES CPUS
    cluster=$1 cluster_nodes=$2 cluster_cpus=$3 cluster_tries=0
    PATH=$PATH:/usr/sbin:/sbin
    export PATH
    mkdir -p "$cluster/state" "$cluster/log"
    chmod 755 "$cluster"
    i=1
    while [ $i -le "$cluster_nodes" ]; do mkdir -p "$cluster/spool.n$i"; i=$((i + 1)); done
    (umask 077 && dd if=/dev/urandom of="$cluster/munge.key" bs=1 count=1024 2>/dev/null) || return 1
    # --force: it is root's and lies in a folder of ours, which munge's rules for /run and /etc do not know
    setsid munged --foreground --force --key-file="$cluster/munge.key" --socket="$cluster/munge.sock" \
        --pid-file="$cluster/munged.pid" --log-file="$cluster/log/munged.log" --seed-file="$cluster/munge.seed" \
        >"$cluster/log/munged.out" 2>&1 &
    cluster_pid_munged=$!
    wait_for 10 test -S "$cluster/munge.sock" || return 1
    SLURM_CONF=$cluster/slurm.conf
    export SLURM_CONF
    until cluster_try; do # a port was taken
        cluster_end_slurm
        cluster_tries=$((cluster_tries + 1))
        [ $cluster_tries -lt 3 ] || return 1
    done
}

node_pids() { # NODE: all processes that see the node's host name: its daemon, the steps, what they started
    eval "set -- \"\${cluster_pid_$1:-0}\""
    space=$(readlink "/proc/$1/ns/uts") || return 0
    for p in /proc/[0-9]*; do
        [ "$(readlink "$p/ns/uts" 2>/dev/null)" = "$space" ] && echo "${p#/proc/}"
    done
}

cluster_kill() { # NODE
    # shellcheck disable=SC2046
    kill -9 $(node_pids "$1") 2>/dev/null
    eval "cluster_pid_$1="
    scontrol update nodename="$1" state=down reason=killed # at once, not after SlurmdTimeout
}

end_pid() { # PID: TERM, then KILL
    [ -n "$1" ] && alive "$1" || return 0
    kill "$1" 2>/dev/null
    wait_left=25
    while alive "$1" && [ $wait_left -gt 0 ]; do wait_left=$((wait_left - 1)); sleep 0.2; done
    ! alive "$1" || kill -9 "$1" 2>/dev/null
}

cluster_end_slurm() {
    i=1
    while [ $i -le "$cluster_nodes" ]; do
        eval "end_pid \"\${cluster_pid_n$i:-}\"; cluster_pid_n$i="
        i=$((i + 1))
    done
    end_pid "${cluster_pid_ctld:-}"
    cluster_pid_ctld=
}

cluster_stop() {
    [ -n "${cluster:-}" ] || return 0
    [ -z "${cluster_pid_ctld:-}" ] || scancel -u root 2>/dev/null
    wait_left=50
    while [ -n "$(squeue -h -t R,CG 2>/dev/null)" ] && [ $wait_left -gt 0 ]; do wait_left=$((wait_left - 1)); sleep 0.2; done
    cluster_end_slurm
    end_pid "${cluster_pid_munged:-}"
    cluster_pid_munged=
}
