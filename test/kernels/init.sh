#!/bin/sh
# The guest's first process: mounts what an agent expects, runs the program, and switches off.
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tracefs none /sys/kernel/tracing
mount -t tmpfs none /tmp
mount -t tmpfs none /run
if [ "$cgroups" = v1 ]; then # from the kernel's command line
  mount -t tmpfs none /sys/fs/cgroup
  for controller in memory cpu,cpuacct pids blkio; do
    mkdir /sys/fs/cgroup/$controller
    mount -t cgroup -o $controller none /sys/fs/cgroup/$controller
  done
else
  mount -t cgroup2 none /sys/fs/cgroup
fi
ip link set lo up
for module in /modules/"$(uname -r)"/*.ko; do
  [ ! -e "$module" ] || insmod "$module"
done
stty -F /dev/ttyS1 raw
node --disable-warning=ExperimentalWarning /leadline/inside.mjs >/dev/ttyS1
poweroff -f
