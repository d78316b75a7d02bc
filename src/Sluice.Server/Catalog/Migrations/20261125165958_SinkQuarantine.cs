using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Sluice.Server.Catalog.Migrations
{
    /// <inheritdoc />
    public partial class SinkQuarantine : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<bool>(
                name: "KeepsSample",
                table: "sink_mappings",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<bool>(
                name: "QuarantineKeepRaw",
                table: "sink_mappings",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<int>(
                name: "QuarantineMaxAgeSeconds",
                table: "sink_mappings",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<int>(
                name: "QuarantineMaxBytes",
                table: "sink_mappings",
                type: "INTEGER",
                nullable: true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropColumn(
                name: "KeepsSample",
                table: "sink_mappings");

            migrationBuilder.DropColumn(
                name: "QuarantineKeepRaw",
                table: "sink_mappings");

            migrationBuilder.DropColumn(
                name: "QuarantineMaxAgeSeconds",
                table: "sink_mappings");

            migrationBuilder.DropColumn(
                name: "QuarantineMaxBytes",
                table: "sink_mappings");
        }
    }
}
