using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Sluice.Server.Catalog.Migrations
{
    /// <inheritdoc />
    public partial class TableProperties : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<bool>(
                name: "IsAutoId",
                table: "tables",
                type: "INTEGER",
                nullable: false,
                defaultValue: false);

            migrationBuilder.AddColumn<long>(
                name: "RetentionSeconds",
                table: "tables",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.AddColumn<string>(
                name: "Default",
                table: "columns",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<bool>(
                name: "IsRequired",
                table: "columns",
                type: "INTEGER",
                nullable: false,
                defaultValue: false);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropColumn(
                name: "IsAutoId",
                table: "tables");

            migrationBuilder.DropColumn(
                name: "RetentionSeconds",
                table: "tables");

            migrationBuilder.DropColumn(
                name: "Default",
                table: "columns");

            migrationBuilder.DropColumn(
                name: "IsRequired",
                table: "columns");
        }
    }
}
