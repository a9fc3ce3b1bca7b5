// What containers write, whatever they run under: found, followed through every rotation, and handed on as lines.
// What the lines mean, a processor says.
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineReceiver, type Logger } from '../receiver.ts'
import { type Checkpoints, openCheckpoints } from './checkpoints.ts'
import { findDockerLogs } from './docker_logs.ts'
import { followLogs } from './followed.ts'
import { noJournalCounts, readJournal } from './journal.ts'
import { metrics } from './metrics.ts'
import { findOpenFiles } from './open_files.ts'
import { recallLogs } from './recalled.ts'
import { selection } from './selection.ts'
import { settings } from './settings.ts'
import { startTelemetry } from './telemetry.ts'
import { createTotals } from './totals.ts'
import { removeAbandoned } from './unpacked.ts'

/** Of an old file that was compressed, once it is unpacked again. */
const MOST_UNPACKED_BYTES = 2 ** 30

export default defineReceiver({
  name: 'container_logs',
  summary: 'What containers write: the lines go to the processors of the pipeline; how many there are is told here.',
  stability: 'alpha',
  config: settings,
  metrics,
  needs: [
    {
      name: 'root, or CAP_DAC_READ_SEARCH',
      why: 'logs of containers are readable for root only',
      degrades: 'logs that may not be read are left out',
      fix: 'run as root, or grant the capability',
      check: () => process.getuid?.() === 0,
    },
  ],

  async start(config, { host, log, meter, logs: sink, id }) {
    const errors = countErrors(log)
    const checkpoints = await keepOffsets(config.storage, id, log, errors.failed)
    const scratchDirectory = checkpoints === undefined ? tmpdir() : config.storage
    if (checkpoints) tidy(scratchDirectory, log)
    const totals = createTotals(host)
    const isSelected = selection(host, config)
    const format = { maxLineBytes: config.max_log_size }

    const followed = followLogs({
      sink,
      checkpoints,
      totals,
      chain: { scratchDirectory, mostUnpackedBytes: MOST_UNPACKED_BYTES, failed: errors.failed },
      limits: { ...format, maxLagBytes: config.max_lag_size, flushMs: config.force_flush_period },
      select: (subject) => (subject.kind === 'node' ? 'yes' : isSelected(subject)),
      failed: errors.failed,
    })
    const start = { startAt: config.start_at, sinceMs: checkpoints?.sinceMs ?? Date.now() }
    const sources = [findDockerLogs({ host, format, ...start, found: followed.add })]
    sources.push(
      findOpenFiles({
        host,
        log,
        format,
        patterns: config.files,
        ...start,
        add: followed.add,
        isFollowed: followed.has,
      }),
    )
    const journal = noJournalCounts()
    if (config.journald.enabled) {
      sources.push(
        readJournal({
          host,
          log,
          sink,
          totals,
          counts: journal,
          checkpoints,
          directory: config.journald.directory,
          startAt: config.start_at,
          maxLineBytes: config.max_log_size,
          select: isSelected,
          failed: errors.failed,
        }),
      )
    }
    if (checkpoints) sources.push(recallLogs({ host, checkpoints, followed, format }))
    const stopTelemetry = startTelemetry(meter, id, () => ({
      followed: followed.size,
      counts: followed.counts,
      journal,
      errors: errors.count,
      refused: followed.refused,
      longestTurnMs: followed.longestTurnMs,
      damagedCheckpoints: checkpoints?.damaged ?? 0,
      refusedCheckpoints: checkpoints?.refused() ?? 0,
    }))

    return {
      collect: (out) => totals.record(out),
      stop() {
        for (const stop of sources) stop()
        followed.stop()
        stopTelemetry()
        checkpoints?.close()
      },
    }
  },
})

/** Without them a restarted agent begins anew, which is no reason not to read at all. */
async function keepOffsets(
  storage: string,
  id: string,
  log: Logger,
  failed: (error: Error) => void,
): Promise<Checkpoints | undefined> {
  if (storage === '') return undefined
  try {
    return await openCheckpoints(join(storage, `${id.replaceAll('/', '~')}.offsets`), failed)
  } catch (error) {
    log.warn('offsets are not kept: what is written while the agent is away is not read', {
      error: (error as Error).message,
    })
    return undefined
  }
}

/** Where all is ours: in the system's directory for such files the names may be somebody else's. */
function tidy(storage: string, log: Logger): void {
  try {
    const removed = removeAbandoned(storage)
    if (removed.files > 0) log.info('removed what an agent that was killed had unpacked', { storage, ...removed })
  } catch (error) {
    const why = (error as Error).message
    log.warn('what an agent that was killed had unpacked stays', {
      error: `${why} · fix: remove unpacked-* from ${storage}`,
    })
  }
}

/** A log that cannot be read says so once; all are counted. */
function countErrors(log: Logger) {
  const said = new Set<string>()
  let count = 0
  return {
    failed(error: Error) {
      count++
      if (said.size > 100 || said.has(error.message)) return
      said.add(error.message)
      log.warn('a log cannot be read', { error: error.message })
    },
    get count() {
      return count
    },
  }
}
