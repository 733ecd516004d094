"""A deterministic simulator of deployments: the real engine, and models of everything around it that can fail.

What surrounds a deployment is told by a schedule's number: every fourth has two replicas of the coordinator, every fifth gates, and every
seventh a preview, which comes and goes with its change request; nine of 23 have faults that would be too rare elsewhere (`profile`).

Real is what needs no I/O: `services.coordinator` from `engine` to `plan` and `turns`, what a hand-over of the outbox keeps in memory
(`shared.outbox.Outbox`), the deployer's records of services, and all contracts. The rest are copies, which have to be changed with what
they are copies of, and prove nothing of its SQL, its locks and its calls; component and integration tests do that:

| here | is a copy of |
|---|---|
| `coordinator` | `services.coordinator`: `results`, `driver`, `sources`, `timers`, `coordinator` |
| `work`, `database` | `services.coordinator`: `work`, `store/`, and PostgreSQL's locks |
| `deliveries` | `services.coordinator.changes`; `services.webhooks`: storing, settling and sending again |
| `wishes` | `services.coordinator.requests`; `services.api`: wishes and the archive |
| `previews` | `services.coordinator.change_requests`; `services.api`: the catalogue of previews |
| `settling` | `services.coordinator.settling` |
| `outbox` | `shared.outbox`, `shared.relay`, `shared.inbox` |
| `participants` | `shared.participant`, `shared.answering`; the deployer's fence and lease |
| `effects`, `data_effects`, `service_effects`, `target` | `services.deployer`: its handlers and the local target; the container engine |
| `streams` | JetStream and core NATS |
| `gates` | an outside tool, and how `services.api` takes its answers |

`python -m tests.simulation --seed 7` replays one schedule and prints it; `--schedules 100000 --workers 2` runs many.
"""
