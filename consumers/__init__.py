"""Who listens: one package per saga, the runtime that carries them, the tracker and the ClickHouse sink."""
