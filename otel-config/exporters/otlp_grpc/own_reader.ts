// A reader of the SDK that is asked when something is sent anyway, so that the agent's own telemetry goes along.
import { MetricReader } from '@opentelemetry/sdk-metrics'

export class OwnReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}
