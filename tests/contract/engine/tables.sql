-- What `prisma migrate` would make of schema.prisma.
CREATE TYPE "Mood" AS ENUM ('CALM', 'BUSY');
CREATE TABLE "Team" (
    "id" TEXT PRIMARY KEY,
    "alias" TEXT,
    "models" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "spend" DOUBLE PRECISION NOT NULL DEFAULT 0,
    "budget" DECIMAL(30, 10),
    "limit" BIGINT,
    "blocked" BOOLEAN NOT NULL DEFAULT false,
    "mood" "Mood" NOT NULL DEFAULT 'CALM',
    "secret" BYTEA,
    "born" DATE,
    "created_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMP(3) NOT NULL
);
CREATE UNIQUE INDEX "Team_alias_key" ON "Team"("alias");
CREATE TABLE "Member" (
    "team_id" TEXT NOT NULL REFERENCES "Team"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    "user_id" TEXT NOT NULL,
    "role" TEXT NOT NULL DEFAULT 'user',
    "notes" JSONB,
    "history" JSONB[],
    PRIMARY KEY ("team_id", "user_id")
);
CREATE TABLE "Counter" (
    "id" SERIAL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "value" INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX "Counter_name_value_key" ON "Counter"("name", "value");
