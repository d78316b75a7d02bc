using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Sluice.Server.Catalog.Migrations
{
    /// <inheritdoc />
    public partial class Quotas : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<int>(
                name: "QuotaBurstSeconds",
                table: "sink_mappings",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<long>(
                name: "QuotaBytesPerSecond",
                table: "sink_mappings",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<long>(
                name: "QuotaRecordsPerSecond",
                table: "sink_mappings",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<int>(
                name: "QuotaBurstSeconds",
                table: "api_keys",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<long>(
                name: "QuotaBytesPerSecond",
                table: "api_keys",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<long>(
                name: "QuotaRecordsPerSecond",
                table: "api_keys",
                type: "INTEGER",
                nullable: true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropColumn(
                name: "QuotaBurstSeconds",
                table: "sink_mappings");

            migrationBuilder.DropColumn(
                name: "QuotaBytesPerSecond",
                table: "sink_mappings");

            migrationBuilder.DropColumn(
                name: "QuotaRecordsPerSecond",
                table: "sink_mappings");

            migrationBuilder.DropColumn(
                name: "QuotaBurstSeconds",
                table: "api_keys");

            migrationBuilder.DropColumn(
                name: "QuotaBytesPerSecond",
                table: "api_keys");

            migrationBuilder.DropColumn(
                name: "QuotaRecordsPerSecond",
                table: "api_keys");
        }
    }
}
