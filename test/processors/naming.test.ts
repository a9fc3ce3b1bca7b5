import assert from 'node:assert/strict'
import { test } from 'node:test'
import { promName } from '../../processors/naming.ts'
import type { MetricKind } from '../../receivers/receiver.ts'

// The peer's names, which the official translator was seen to give for these (prometheus/otlptranslator).
const NAMES: readonly [otel: string, unit: string, kind: MetricKind, prometheus: string][] = [
  ['container.info', '{container}', 'updowncounter', 'container_info'],
  ['container.restarts', '{restart}', 'counter', 'container_restarts_total'],
  ['container.oom_kills', '{kill}', 'counter', 'container_oom_kills_total'],
  ['container.application_type', '{type}', 'updowncounter', 'container_application_type'],
  ['container.resources.cpu.limit_cores', '{cpu}', 'gauge', 'container_resources_cpu_limit_cores'],
  ['container.resources.cpu.usage', 's', 'counter', 'container_resources_cpu_usage_seconds_total'],
  ['container.resources.cpu.delay', 's', 'counter', 'container_resources_cpu_delay_seconds_total'],
  ['container.resources.cpu.throttled', 's', 'counter', 'container_resources_cpu_throttled_seconds_total'],
  [
    'container.resources.cpu.pressure.waiting',
    's',
    'counter',
    'container_resources_cpu_pressure_waiting_seconds_total',
  ],
  [
    'container.resources.memory.pressure.waiting',
    's',
    'counter',
    'container_resources_memory_pressure_waiting_seconds_total',
  ],
  ['container.resources.io.pressure.waiting', 's', 'counter', 'container_resources_io_pressure_waiting_seconds_total'],
  ['container.resources.memory.limit', 'By', 'updowncounter', 'container_resources_memory_limit_bytes'],
  ['container.resources.memory.rss', 'By', 'updowncounter', 'container_resources_memory_rss_bytes'],
  ['container.resources.memory.cache', 'By', 'updowncounter', 'container_resources_memory_cache_bytes'],
  ['container.resources.disk.delay', 's', 'counter', 'container_resources_disk_delay_seconds_total'],
  ['container.resources.disk.size', 'By', 'updowncounter', 'container_resources_disk_size_bytes'],
  ['container.resources.disk.used', 'By', 'updowncounter', 'container_resources_disk_used_bytes'],
  ['container.resources.disk.reserved', 'By', 'updowncounter', 'container_resources_disk_reserved_bytes'],
  ['container.resources.disk.reads', '{operation}', 'counter', 'container_resources_disk_reads_total'],
  ['container.resources.disk.writes', '{operation}', 'counter', 'container_resources_disk_writes_total'],
  ['container.resources.disk.read', 'By', 'counter', 'container_resources_disk_read_bytes_total'],
  ['container.resources.disk.written', 'By', 'counter', 'container_resources_disk_written_bytes_total'],
  ['container.resources.gpu.usage', '%', 'gauge', 'container_resources_gpu_usage_percent'],
  ['container.resources.gpu.memory_usage', '%', 'gauge', 'container_resources_gpu_memory_usage_percent'],
  ['container.net.tcp.listen.info', '{listener}', 'updowncounter', 'container_net_tcp_listen_info'],
  ['container.net.tcp.successful_connects', '{connection}', 'counter', 'container_net_tcp_successful_connects_total'],
  ['container.net.tcp.failed_connects', '{connection}', 'counter', 'container_net_tcp_failed_connects_total'],
  ['container.net.tcp.connection.time', 's', 'counter', 'container_net_tcp_connection_time_seconds_total'],
  ['container.net.tcp.active_connections', '{connection}', 'updowncounter', 'container_net_tcp_active_connections'],
  ['container.net.tcp.retransmits', '{segment}', 'counter', 'container_net_tcp_retransmits_total'],
  ['container.net.tcp.bytes_sent', 'By', 'counter', 'container_net_tcp_bytes_sent_total'],
  ['container.net.tcp.bytes_received', 'By', 'counter', 'container_net_tcp_bytes_received_total'],
  ['container.net.latency', 's', 'gauge', 'container_net_latency_seconds'],
  ['ip_to_fqdn', '{mapping}', 'updowncounter', 'ip_to_fqdn'],
  ['container.log.messages', '{message}', 'counter', 'container_log_messages_total'],
  ['node.info', '{node}', 'updowncounter', 'node_info'],
  ['node.cloud.info', '{instance}', 'updowncounter', 'node_cloud_info'],
  ['node.agent.info', '{agent}', 'updowncounter', 'node_agent_info'],
  ['node.uptime', 's', 'gauge', 'node_uptime_seconds'],
  ['node.resources.cpu.usage', 's', 'counter', 'node_resources_cpu_usage_seconds_total'],
  ['node.resources.cpu.logical_cores', '{cpu}', 'updowncounter', 'node_resources_cpu_logical_cores'],
  ['node.resources.memory.total', 'By', 'updowncounter', 'node_resources_memory_total_bytes'],
  ['node.resources.memory.free', 'By', 'updowncounter', 'node_resources_memory_free_bytes'],
  ['node.resources.memory.available', 'By', 'updowncounter', 'node_resources_memory_available_bytes'],
  ['node.resources.memory.cached', 'By', 'updowncounter', 'node_resources_memory_cached_bytes'],
  ['node.resources.disk.reads', '{operation}', 'counter', 'node_resources_disk_reads_total'],
  ['node.resources.disk.writes', '{operation}', 'counter', 'node_resources_disk_writes_total'],
  ['node.resources.disk.read', 'By', 'counter', 'node_resources_disk_read_bytes_total'],
  ['node.resources.disk.written', 'By', 'counter', 'node_resources_disk_written_bytes_total'],
  ['node.resources.disk.read_time', 's', 'counter', 'node_resources_disk_read_time_seconds_total'],
  ['node.resources.disk.write_time', 's', 'counter', 'node_resources_disk_write_time_seconds_total'],
  ['node.resources.disk.io_time', 's', 'counter', 'node_resources_disk_io_time_seconds_total'],
  ['node.net.received', 'By', 'counter', 'node_net_received_bytes_total'],
  ['node.net.transmitted', 'By', 'counter', 'node_net_transmitted_bytes_total'],
  ['node.net.received_packets', '{packet}', 'counter', 'node_net_received_packets_total'],
  ['node.net.transmitted_packets', '{packet}', 'counter', 'node_net_transmitted_packets_total'],
  ['node.net.interface.up', '{interface}', 'updowncounter', 'node_net_interface_up'],
  ['node.net.interface.ip', '{address}', 'updowncounter', 'node_net_interface_ip'],
  ['container.http.requests', '{request}', 'counter', 'container_http_requests_total'],
  ['container.http.inbound.requests', '{request}', 'counter', 'container_http_inbound_requests_total'],
  ['container.postgres.queries', '{query}', 'counter', 'container_postgres_queries_total'],
  ['container.jvm.heap.size', 'By', 'updowncounter', 'container_jvm_heap_size_bytes'],
  ['container.jvm.heap.max_size', 'By', 'updowncounter', 'container_jvm_heap_max_size_bytes'],
  ['container.jvm.gc.time', 's', 'updowncounter', 'container_jvm_gc_time_seconds'],
  ['container.jvm.safepoint_sync.time', 's', 'updowncounter', 'container_jvm_safepoint_sync_time_seconds'],
  ['container.jvm.alloc', 'By', 'counter', 'container_jvm_alloc_bytes_total'],
  ['container.jvm.lock.time', 's', 'counter', 'container_jvm_lock_time_seconds_total'],
  [
    'container.nodejs.event_loop_blocked_time',
    's',
    'counter',
    'container_nodejs_event_loop_blocked_time_seconds_total',
  ],
  ['container.python.thread_lock_wait_time', 's', 'updowncounter', 'container_python_thread_lock_wait_time_seconds'],
  ['node.resources.gpu.utilization.percent_avg', '%', 'gauge', 'node_resources_gpu_utilization_percent_avg'],
  ['node.resources.gpu.temperature', 'Cel', 'gauge', 'node_resources_gpu_temperature_celsius'],
  ['node.resources.gpu.power_usage', 'W', 'gauge', 'node_resources_gpu_power_usage_watts'],
  ['container.resources.memory.delay', 's', 'counter', 'container_resources_memory_delay_seconds_total'],
  ['container.resources.irq.delay', 's', 'counter', 'container_resources_irq_delay_seconds_total'],
  ['container.resources.cpu.periods', '{period}', 'counter', 'container_resources_cpu_periods_total'],
  [
    'container.resources.cpu.throttled_periods',
    '{period}',
    'counter',
    'container_resources_cpu_throttled_periods_total',
  ],
  ['container.resources.pids', '{process}', 'updowncounter', 'container_resources_pids'],
  ['container.net.latency.lost', '{packet}', 'counter', 'container_net_latency_lost_total'],
  ['container.log.size', 'By', 'counter', 'container_log_size_bytes_total'],
  ['container.log.patterns', '{pattern}', 'updowncounter', 'container_log_patterns'],
]

test('every metric has the name that the official translation gives it', () => {
  for (const [otel, unit, kind, prometheus] of NAMES) assert.equal(promName(otel, unit, kind), prometheus, otel)
})

test('names that lose or gain a word come out as officially as the others', () => {
  const names: typeof NAMES = [
    ['container.resources.cpu.limit', '{cores}', 'gauge', 'container_resources_cpu_limit'],
    ['container.info', '1', 'gauge', 'container_info_ratio'],
    ['container.info', '1', 'updowncounter', 'container_info'],
    ['node.resources.memory.total', 'By', 'counter', 'node_resources_memory_bytes_total'],
    ['container.python.thread_lock_wait_time', 's', 'counter', 'container_python_thread_lock_wait_time_seconds_total'],
    ['container.jvm.gc.time', 's', 'counter', 'container_jvm_gc_time_seconds_total'],
    ['node.resources.gpu.utilization.average', '%', 'gauge', 'node_resources_gpu_utilization_average_percent'],
    ['a.total.b', '', 'counter', 'a_b_total'],
    ['cpu.ratio.idle', '1', 'gauge', 'cpu_idle_ratio'],
  ]
  for (const [otel, unit, kind, prometheus] of names) assert.equal(promName(otel, unit, kind), prometheus, otel)
})

test('characters, runs and digits that Prometheus does not take are cleaned', () => {
  const names: typeof NAMES = [
    ['a__b', '', 'gauge', 'a_b'],
    ['a..b', '', 'gauge', 'a_b'],
    ['a_.b', '', 'gauge', 'a_b'],
    ['.a.', '', 'gauge', 'a'],
    ['größe', '', 'gauge', 'gr_e'],
    ['2xx', '', 'counter', '_2xx_total'],
    ['requests.per_second', '', 'gauge', 'requests_per_second'],
    ['throughput', 'By/s', 'gauge', 'throughput_bytes_per_second'],
    ['requests', '1/s', 'gauge', 'requests_per_second'],
    ['custom_metric', 'By/{custom}', 'gauge', 'custom_metric_bytes'],
    ['custom_metric', 'By{custom}', 'gauge', 'custom_metric'],
    ['custom_metric', 'unit@with#special/chars', 'gauge', 'custom_metric_unit_with_special_per_chars'],
  ]
  for (const [otel, unit, kind, prometheus] of names) assert.equal(promName(otel, unit, kind), prometheus, otel)
})

test('a translated name translated again stays as it is', () => {
  for (const [, unit, kind, prometheus] of NAMES) assert.equal(promName(prometheus, unit, kind), prometheus)
})
