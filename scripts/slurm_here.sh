#!/usr/bin/env bash
# A Slurm cluster on this machine, for `pytest -m slurm`; needs root on Debian or Ubuntu.
#
#     scripts/slurm_here.sh start [--nodes N] [--accounts]
#                                     install (slurm-wlm, munge), start, wait until the nodes are idle
#     scripts/slurm_here.sh status    what runs
#     scripts/slurm_here.sh stop      stop the daemons and remove their files
#
# Exit status 3: a cluster is not possible here, with the reason. Partitions: `main` (default), and
# `urgent`, whose jobs preempt those of `main`, which are requeued. Memory limits are enforced by
# polling, once a second, since containers rarely hand out cgroups. The nodes, one by default, claim
# four cores at least in all, so that some jobs run at a time anywhere. With --accounts (slurmdbd,
# mariadb-server) ends of jobs are kept for sacct, and the controller forgets them after two seconds:
# what a cluster says of yesterday's jobs. Users other than root are not served. A slurm.conf that
# this script did not write is left alone.
set -euo pipefail

conf=/etc/slurm/slurm.conf
mark="# Written by calibrate's scripts/slurm_here.sh"
state=/var/lib/calibrate-slurm
database_conf=/etc/slurm/slurmdbd.conf
nodes=1 accounts=

impossible() { echo "slurm_here: no cluster here: $*" >&2; exit 3; }

answers() {  # all nodes of the partition
  local told
  told=$(sinfo --noheader --Node --partition=main --format=%T 2>/dev/null) && [[ $told ]] || return 1
  ! grep -qvE '^(idle|mixed|allocated)' <<<"$told"
}

ours() { head -n 1 "$conf" 2>/dev/null | grep -qxF "$mark"; }

await() {  # LOG COMMAND…: until the command succeeds, at most half a minute
  local log=$1 waited=0
  shift
  until "$@" >/dev/null 2>&1; do
    sleep 0.2
    (( ++waited < 150 )) || impossible "the daemons do not come up: $(tail -n 1 "$log")"
  done
}

install_packages() {
  local wanted=(slurm-wlm munge) programs=(slurmctld slurmd munged sbatch)
  [[ ! $accounts ]] || { wanted+=(slurmdbd mariadb-server); programs+=(slurmdbd mariadbd); }
  for each in "${programs[@]}"; do command -v "$each" >/dev/null || break; each=; done
  [[ $each ]] || return 0
  command -v apt-get >/dev/null || impossible "${wanted[*]} are not installed, and there is no apt-get"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends "${wanted[@]}"; } \
    >"$state/apt.log" 2>&1 || impossible "apt-get cannot install ${wanted[*]}: $(tail -n 1 "$state/apt.log")"
}

write_conf() {
  local host cpus memory storage="AccountingStorageType=accounting_storage/none"
  host=$(hostname -s) cpus=$(( $(nproc) > 4 ? $(nproc) : 4 )) memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
  [[ ! $accounts ]] || storage=$'AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\nMinJobAge=2'
  mkdir -p /etc/slurm
  cat >"$conf" <<CONF
$mark
ClusterName=here
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$state/controller
SlurmdSpoolDir=$state/%n
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd-%n.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
$storage
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
SlurmdTimeout=60
KillWait=2
ReturnToService=2
DefMemPerCPU=1000
NodeName=here[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((17000 + 1))-$((17000 + nodes))] CPUs=$(( (cpus + nodes - 1) / nodes )) RealMemory=$((memory / nodes)) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=ALL PriorityTier=2 MaxTime=INFINITE State=UP
CONF
}

start_munge() {
  munge --no-input 2>/dev/null | unmunge >/dev/null 2>&1 && return
  install -d -o munge -g munge -m 0755 /run/munge
  [[ -s /etc/munge/munge.key ]] || { mungekey --create; chown munge: /etc/munge/munge.key; }
  setpriv --reuid=munge --regid=munge --clear-groups munged
  touch "$state/munge_is_ours"
}

start_accounts() {
  local port=33066 data=$state/database
  install -d -o mysql -g mysql "$data"
  mariadb-install-db --no-defaults --user=mysql --datadir="$data" --skip-test-db >"$state/mariadb.log" 2>&1
  mariadbd --no-defaults --user=mysql --datadir="$data" --socket="$data/socket" --port=$port \
    --bind-address=127.0.0.1 --pid-file="$data/mariadbd.pid" >>"$state/mariadb.log" 2>&1 &
  await "$state/mariadb.log" mariadb --no-defaults --socket="$data/socket" \
    -e "create user slurm@localhost identified by 'slurm', slurm@'127.0.0.1' identified by 'slurm';
        grant all on slurm_acct_db.* to slurm@localhost; grant all on slurm_acct_db.* to slurm@'127.0.0.1'"
  install -m 600 /dev/null "$database_conf"
  cat >"$database_conf" <<CONF
$mark
DbdHost=localhost
AuthType=auth/munge
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$port
StorageUser=slurm
StoragePass=slurm
LogFile=$state/slurmdbd.log
PidFile=$state/slurmdbd.pid
CONF
  slurmdbd
  await "$state/slurmdbd.log" sacctmgr --noheader list cluster
}

start() {
  [[ $EUID == 0 ]] || impossible "only root can start its daemons"
  ours || [[ ! -e $conf ]] || impossible "$conf is not this script's: use that cluster"
  if ours && answers; then echo "slurm_here: runs already"; status; return; fi
  mkdir -p "$state/controller"
  install_packages
  write_conf
  start_munge
  [[ ! $accounts ]] || start_accounts
  slurmctld -c
  for (( node = 1; node <= nodes; node++ )); do slurmd -N "here$node"; done
  await "$state/slurmctld.log" answers
  status
}

end_daemon() {  # the process of a pid file, if it is the program that is meant
  local pid
  pid=$(cat "$2" 2>/dev/null) && [[ $(ps -o comm= -p "$pid") == "$1" ]] || return 0
  kill "$pid"
  for _ in {1..100}; do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
  kill -9 "$pid"
}

stop() {
  [[ $EUID == 0 ]] || impossible "only root can stop its daemons"
  ours || { echo "slurm_here: no cluster of this script's is set up"; return; }
  if answers; then scancel --user=root && sleep 1; fi
  for pid in "$state"/slurmd-*.pid; do end_daemon slurmd "$pid"; done
  end_daemon slurmctld "$state/slurmctld.pid"
  end_daemon slurmdbd "$state/slurmdbd.pid"
  end_daemon mariadbd "$state/database/mariadbd.pid"
  [[ ! -e $state/munge_is_ours ]] || end_daemon munged /run/munge/munged.pid
  rm -rf "$conf" "$database_conf" "$state"
  echo "slurm_here: stopped"
}

status() {
  ours && answers || { echo "slurm_here: not running"; return 1; }
  sinfo
  squeue
}

usage() { echo "usage: scripts/slurm_here.sh start [--nodes N] [--accounts] | stop | status" >&2; exit 2; }

task=${1-}
[[ $task =~ ^(start|stop|status)$ ]] || usage
shift
while (( $# )); do
  case $task$1 in
    start--accounts) accounts=yes ;;
    start--nodes) [[ ${2-} =~ ^[1-9]$ ]] || usage; nodes=$2; shift ;;
    *) usage ;;
  esac
  shift
done
"$task"
